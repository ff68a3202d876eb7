//! The module as the server lists it.

use redis::Value;

use super::Server;

impl Server {
    /// The file that the module was loaded from.
    #[track_caller]
    pub fn module_library(&self) -> String {
        let Value::Array(modules) = self.ask_value("MODULE LIST") else {
            panic!("MODULE LIST answers an array")
        };
        let text = |value: &Value| redis::from_redis_value::<String>(value.clone()).unwrap_or_default();
        let path_of_ours = |module: &Value| {
            let Value::Array(fields) = module else { return None };
            let field =
                |name| fields.chunks(2).find(|pair| text(&pair[0]) == name).map(|pair| text(&pair[1]));
            (field("name")? == "rl").then(|| field("path"))?
        };
        modules.iter().find_map(path_of_ours).unwrap()
    }
}
