//! The documentation: its examples answer what they say, its pages say what the command table says, its links lead
//! somewhere, and the README shows the programs in examples/.
//!
//! A block that begins with ```` ```redis-cli ```` is run, on a server of its file's own whose clock stands still at
//! 2026-01-05 00:00:00 UTC, a Monday. `redis> ` precedes a command; what follows is the reply as redis-cli prints it.
//! `# 300 ms later` (s, min, h, d) and `# at 2026-01-05 09:00:00 UTC` move the clock; other `#` lines are remarks.
//! `RL_DOCS_WRITE=1 cargo test --test suite docs::` writes the replies into the files instead of comparing them.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::Value;
use redis_limiter::commands::table::{self, Argument, ArgumentKind};

use crate::support::Server;

const FIRST_INSTANT: &str = "2026-01-05 00:00:00";
const PROMPT: &str = "redis> ";

/// The programs that README.md shows, and how it fences them.
const PROGRAMS: [(&str, &str); 3] = [
    ("examples/node/limit.mjs", "js"),
    ("examples/python/limit.py", "python"),
    ("examples/limit.rs", "rust"),
];

/// The program of the Node.js package's README, which that package's tests run.
#[test]
fn the_readme_shows_the_program_of_the_package() {
    let (readme, package) = (Page::read("README.md"), Page::read("clients/node/README.md"));
    let program = readme.text.split("```js\n").find(|block| block.contains("redis-limiter-client/express"));
    let (program, _) = program.and_then(|block| block.split_once("```")).expect("README.md shows it");
    assert!(package.text.contains(program), "{} has no\n{program}", package.name);
}

// --- The examples of the pages -------------------------------------------------------------------------------------

#[test]
fn every_example_answers_what_its_page_says() {
    let mut wrong = String::new();
    for page in Page::all() {
        if page.lines.iter().any(|line| line == "```redis-cli") {
            wrong += &run_examples(&page);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Runs a page's examples; what was answered otherwise than it says.
fn run_examples(page: &Page) -> String {
    let server = Server::start();
    server.clock.freeze(instant_us(FIRST_INSTANT).unwrap());
    let mut wrong = String::new();
    let mut written = Vec::new();
    let mut lines = page.lines.iter().enumerate().peekable();
    let mut in_example = false;
    while let Some((index, line)) = lines.next() {
        written.push(line.clone());
        if line.starts_with("```") {
            in_example = line == "```redis-cli";
        } else if in_example && line.starts_with('#') {
            move_clock(&server, line).unwrap_or_else(|| panic!("{}:{}: {line}", page.name, index + 1));
        } else if let Some(command) = line.strip_prefix(PROMPT).filter(|_| in_example) {
            let answered = shown(&server.call(&words(command)));
            let mut said = String::new();
            while let Some((_, reply)) = lines.next_if(|(_, line)| !is_no_reply(line)) {
                said += reply;
                said += "\n";
            }
            if said != answered {
                let at = format!("{}:{}", page.name, index + 1);
                write!(wrong, "\n{at}: {command}\nthe page says\n{said}the server answers\n{answered}")
                    .unwrap();
            }
            written.extend(answered.lines().map(String::from));
        } else if in_example {
            assert!(line.is_empty(), "{}:{}: a reply without a command: {line}", page.name, index + 1);
        }
    }
    if std::env::var_os("RL_DOCS_WRITE").is_some() && !wrong.is_empty() {
        fs::write(&page.path, written.join("\n") + "\n").unwrap();
        eprintln!("{wrong}");
        return String::new();
    }
    wrong
}

/// Whether a line of an example ends the reply before it.
fn is_no_reply(line: &str) -> bool {
    line.is_empty() || line.starts_with(PROMPT) || line.starts_with('#') || line.starts_with("```")
}

/// Does what a remark says of the clock; None if it is about the clock but cannot be read.
fn move_clock(server: &Server, remark: &str) -> Option<()> {
    let text = remark.trim_start_matches('#').trim();
    if let Some(by) = text.strip_suffix(" later") {
        server.clock.advance(duration(by)?);
    } else if let Some(by) = text.strip_prefix("the clock steps back by ") {
        server.clock.step_back(duration(by)?);
    } else if let Some(instant) = text.strip_prefix("at ") {
        server.clock.freeze(instant_us(instant.strip_suffix(" UTC")?)?);
    }
    Some(())
}

/// `300 ms`
fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_once(' ')?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(count.parse::<u64>().ok()? * unit_ms))
}

/// Microseconds since 1970 of `2026-01-05 09:00:00`.
fn instant_us(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split(['-', ' ', ':']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[year, month, day, hour, minute, second] = parts.as_slice() else { return None };
    // Years that begin in March, so that the leap day is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000)
}

#[test]
fn an_instant_is_read_as_the_calendar_has_it() {
    assert_eq!(instant_us("1970-01-01 00:00:00"), Some(0));
    assert_eq!(instant_us("2000-02-29 12:34:56"), Some(951_827_696_000_000));
    assert_eq!(instant_us("2026-01-05 00:00:00"), Some(1_767_571_200_000_000));
    assert_eq!(instant_us("2026-12-31 23:59:59"), Some(1_798_761_599_000_000));
}

// --- What redis-cli does -------------------------------------------------------------------------------------------

/// A command's words; one in double quotes may have spaces in it.
fn words(command: &str) -> Vec<String> {
    command
        .split('"')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(String::from).collect(),
        })
        .collect()
}

fn shown(reply: &Result<Value, redis::RedisError>) -> String {
    match reply {
        Ok(value) => shown_value(value, ""),
        Err(error) => match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => format!("(error) {code} {detail}\n"),
            _ => panic!("no answer: {error}"),
        },
    }
}

/// A reply as redis-cli prints it to a terminal; `indent` precedes all lines but the first.
fn shown_value(value: &Value, indent: &str) -> String {
    match value {
        Value::Nil => "(nil)\n".into(),
        Value::Int(int) => format!("(integer) {int}\n"),
        Value::BulkString(bytes) => format!("\"{}\"\n", quoted(bytes)),
        Value::SimpleString(text) => format!("{text}\n"),
        Value::Okay => "OK\n".into(),
        Value::Array(items) if items.is_empty() => "(empty array)\n".into(),
        Value::Array(items) => {
            let digits = items.len().to_string().len();
            let deeper = format!("{indent}{:1$}", "", digits + 2);
            let mut text = String::new();
            for (index, item) in items.iter().enumerate() {
                let before = if index == 0 { "" } else { indent };
                write!(text, "{before}{:digits$}) {}", index + 1, shown_value(item, &deeper)).unwrap();
            }
            text
        }
        other => panic!("an example's reply has a type that these tests do not print: {other:?}"),
    }
}

/// Text as it stands between redis-cli's double quotes.
fn quoted(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| if byte == b'\'' { "'".into() } else { byte.escape_ascii().to_string() })
        .collect()
}

#[test]
fn replies_are_printed_as_redis_cli_does() {
    let inner = Value::Array(vec![Value::Int(1), Value::Nil]);
    let ten = Value::Array(vec![Value::Okay; 10]);
    let outer = Value::Array(vec![inner.clone(), Value::BulkString(b"a\"b\\c'\n\xc3".into()), inner]);
    assert_eq!(
        shown(&Ok(outer)),
        "1) 1) (integer) 1\n   2) (nil)\n2) \"a\\\"b\\\\c'\\n\\xc3\"\n3) 1) (integer) 1\n   2) (nil)\n"
    );
    assert!(shown(&Ok(ten)).starts_with(" 1) OK\n 2) OK\n"));
    assert_eq!(shown(&Ok(Value::Array(vec![]))), "(empty array)\n");
}

// --- The pages of the commands -------------------------------------------------------------------------------------

#[test]
fn every_command_has_a_page_that_agrees_with_the_table() {
    for row in table::COMMANDS {
        let command = row.command();
        let page = Page::read(&format!("docs/commands/{}.md", row.name.to_ascii_lowercase()));
        let arguments: Vec<String> = command.arguments.iter().map(|argument| syntax(argument)).collect();
        let head = format!("# {}\n\n{}.\n\n", row.name, row.summary);
        let fence = format!("```\n{} {}\n```\n", row.name, arguments.join(" "));
        let complexity = format!("\n- Complexity: {}\n", command.complexity);
        let since = format!("\n- Since: {}\n", command.since);
        assert!(page.text.starts_with(&head), "{} must begin with\n{head}", page.name);
        for part in [fence, complexity, since] {
            assert!(page.text.contains(&part), "{} must contain\n{part}", page.name);
        }
    }
}

/// An argument, in the notation of redis.io.
fn syntax(argument: &Argument) -> String {
    let all = |separator| argument.parts.iter().map(|part| syntax(part)).collect::<Vec<_>>().join(separator);
    let value = match argument.kind {
        ArgumentKind::Token => String::new(),
        ArgumentKind::OneOf => all(" | "),
        ArgumentKind::Block => all(" "),
        _ => argument.name.to_owned(),
    };
    let words: Vec<&str> =
        argument.token.into_iter().chain([value.as_str()]).filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    match (argument.optional, argument.multiple) {
        (false, false) => words,
        (true, false) => format!("[{words}]"),
        (false, true) => format!("{words} [{words} ...]"),
        (true, true) => format!("[{words} ...]"),
    }
}

#[test]
fn every_page_of_a_command_is_in_the_table_and_in_both_indexes() {
    let index = Page::read("docs/commands/README.md");
    let readme = Page::read("README.md");
    for page in Page::all() {
        let Some(file) = page.name.strip_prefix("docs/commands/").filter(|file| *file != "README.md") else {
            continue;
        };
        let name = file.strip_suffix(".md").unwrap().to_ascii_uppercase();
        let row = table::COMMANDS.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("{} is about no command of the table", page.name));
        let entry = format!("| [{name}]({file}) | {} |\n", row.summary);
        assert!(index.text.contains(&entry), "{} must contain\n{entry}", index.name);
        let link = format!("({})", page.name);
        assert!(readme.text.contains(&link), "{} must link to {}", readme.name, page.name);
    }
}

// --- All pages -----------------------------------------------------------------------------------------------------

#[test]
fn every_link_leads_to_a_file_and_its_heading() {
    let mut broken = String::new();
    for page in Page::all() {
        for (line, target) in page.links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = match file {
                "" => page.path.clone(),
                file => page.path.parent().unwrap().join(file),
            };
            let leads = path.exists()
                && (anchor.is_empty()
                    || Page::at(path).headings().any(|heading| heading_anchor(heading) == anchor));
            if !leads {
                writeln!(broken, "{}:{line}: {target}", page.name).unwrap();
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{broken}");
}

/// A heading's anchor, as GitHub makes it.
fn heading_anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&c| c.is_alphanumeric() || c == ' ' || c == '-' || c == '_');
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn no_page_names_somebodys_machine() {
    for page in Page::all() {
        for folder in ["/root", "/home/", "/work/", "/tmp/", "/Users/"] {
            assert!(!page.text.contains(folder), "{} names {folder}", page.name);
        }
    }
}

/// A page of the documentation.
struct Page {
    /// Its path in the checkout, as one would type it.
    name: String,
    path: PathBuf,
    text: String,
    lines: Vec<String>,
}

impl Page {
    fn at(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        let lines = text.lines().map(String::from).collect();
        Self { name, path, text, lines }
    }

    fn read(name: &str) -> Self {
        Self::at(root().join(name))
    }

    /// README.md, CONTRIBUTING.md, CHANGELOG.md and everything under docs/.
    fn all() -> Vec<Self> {
        let mut paths =
            ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)).to_vec();
        let mut folders = vec![root().join("docs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        paths.into_iter().map(Self::at).collect()
    }

    /// The lines outside of fences, with their numbers.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut fenced = false;
        self.lines.iter().enumerate().filter_map(move |(index, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            (!fenced && !fence).then_some((index + 1, line.as_str()))
        })
    }

    fn headings(&self) -> impl Iterator<Item = &str> {
        let heading = |line: &'_ str| line.starts_with('#');
        self.prose()
            .map(|(_, line)| line)
            .filter(move |line| heading(line))
            .map(|line| line.trim_start_matches('#').trim())
    }

    /// The target of each link, with its line. What stands in backquotes is no link.
    fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
            for after in text.split("](").skip(1) {
                links.push((number, after.split(')').next().unwrap_or_default().to_owned()));
            }
        }
        links
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// --- The programs --------------------------------------------------------------------------------------------------

#[test]
fn the_readme_shows_the_programs_as_they_are() {
    let readme = Page::read("README.md");
    for (file, language) in PROGRAMS {
        let program = fs::read_to_string(root().join(file)).unwrap();
        assert!(
            readme.text.contains(&format!("```{language}\n{program}```\n")),
            "README.md must show {file} as it is"
        );
        assert!(readme.text.contains(&format!("]({file})")), "README.md must link to {file}");
    }
}

/// Each where its language and its client library are at hand; a notice where they are not.
#[test]
fn the_programs_run() {
    let node = ["node", "--input-type=module", "--eval", "import 'redis'"];
    let python = ["python3", "-c", "import redis"];
    run_program(&node, &["node", "limit.mjs"], "examples/node");
    run_program(&python, &["python3", "limit.py"], "examples/python");
    // Cargo builds it before it runs all tests, but not for a single one.
    let rust = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/limit");
    let rust = rust.to_str().unwrap();
    run_program(&["test", "-x", rust], &[rust], ".");
}

/// Runs a program twice on a fresh server, if `probe` succeeds.
fn run_program(probe: &[&str], program: &[&str], folder: &str) {
    let command = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(root().join(folder));
        command
    };
    if !command(probe).output().is_ok_and(|output| output.status.success()) {
        let notice = format!("not run here, since `{}` fails: {}", probe.join(" "), program.join(" "));
        // To stderr directly: the notice shall be seen where a passing test's output is captured.
        let _ = writeln!(io::stderr(), "{notice}");
        return;
    }
    let server = Server::start();
    server.clock.freeze(instant_us(FIRST_INSTANT).unwrap());
    let url = format!("redis://127.0.0.1:{}", server.port());
    for said in ["go ahead, 2 left\n", "go ahead, 1 left\n", "go ahead, 0 left\n", "wait 12000 ms\n"] {
        let output = command(program).env("REDIS_URL", &url).output().unwrap();
        let answered = String::from_utf8_lossy(&output.stdout);
        assert_eq!(answered, said, "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
