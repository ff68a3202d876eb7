//! Clients that were written for redis-cell, used as their own documentation shows: nothing of theirs has changed.

use crate::support::{Server, frozen};

/// The crate `redis-cell-rs`.
mod redis_cell_rs_as_documented {
    use std::time::Duration;

    use super::{Server, frozen};
    use redis::Cmd as RedisCmd;
    use redis_cell_rs::{AllowedDetails, BlockedDetails, Cmd, Key, Policy, Verdict};

    const POLICY1: Policy = Policy::from_tokens_per_second(1);
    const POLICY2: Policy = Policy::from_tokens_per_minute(100);
    const POLICY3: Policy = Policy::from_tokens_per_hour(1_000);
    const POLICY4: Policy = Policy::from_tokens_per_day(5_000);
    const POLICY5: Policy = Policy::from_tokens_per_period(100, Duration::from_secs(100))
        .max_burst(100)
        .apply_tokens(2)
        .name("general_policy");
    const POLICY6: Policy = Policy::new(
        /* burst */ 10,
        /* tokens */ 100,
        /* period */ Duration::from_secs(100),
        /* apply */ 1,
    );

    /// What the example prints.
    fn ask(con: &mut redis::Connection, key: &Key<'_>, policy: &Policy) -> String {
        let cmd: RedisCmd = Cmd::new(key, policy).into();
        let verdict: Verdict = cmd.query(con).unwrap();
        match verdict {
            Verdict::Allowed(details) => {
                let AllowedDetails { total, remaining, reset_after, .. } = details;
                format!("total={total}, remaining={remaining}, reset_after={reset_after}")
            }
            Verdict::Blocked(details) => {
                let BlockedDetails { total, remaining, reset_after, retry_after, .. } = details;
                format!(
                    "total={total}, remaining={remaining}, reset_after={reset_after}, retry_after={retry_after}"
                )
            }
        }
    }

    fn connection(server: &Server) -> redis::Connection {
        server.client().get_connection().unwrap()
    }

    #[test]
    fn the_example_is_allowed_then_blocked_then_allowed() {
        let server = frozen();
        let mut con = connection(&server);
        let key = Key::pair("user123", "/api/infer");
        assert_eq!(ask(&mut con, &key, &POLICY1), "total=1, remaining=0, reset_after=1");
        assert_eq!(ask(&mut con, &key, &POLICY1), "total=1, remaining=0, reset_after=1, retry_after=1");
        server.pass_ms(1000);
        assert_eq!(ask(&mut con, &key, &POLICY1), "total=1, remaining=0, reset_after=1");
    }

    #[test]
    fn every_way_to_write_a_policy_is_understood() {
        let server = frozen();
        let mut con = connection(&server);
        for (policy, allowed, times, blocked) in [
            (POLICY2, "total=1, remaining=0, reset_after=1", 1, ", retry_after=1"),
            (POLICY3, "total=1, remaining=0, reset_after=4", 1, ", retry_after=4"),
            (POLICY4, "total=1, remaining=0, reset_after=18", 1, ", retry_after=18"),
            (POLICY5, "total=101, remaining=1, reset_after=100", 50, ", retry_after=1"),
            (POLICY6, "total=11, remaining=0, reset_after=11", 11, ", retry_after=1"),
        ] {
            let key = Key::from(format!("{policy:?}"));
            let last_allowed = (0..times).map(|_| ask(&mut con, &key, &policy)).last().unwrap();
            assert_eq!(last_allowed, allowed);
            assert_eq!(ask(&mut con, &key, &policy), format!("{allowed}{blocked}"));
        }
    }

    #[tokio::test]
    async fn it_works_through_a_connection_manager() {
        // As the crate's own test does.
        let server = frozen();
        let client = redis::Client::open(("localhost", server.port())).unwrap();
        let config = redis::aio::ConnectionManagerConfig::new().set_number_of_retries(1);
        let mut client = redis::aio::ConnectionManager::new_with_config(client, config).await.unwrap();
        let policy = Policy::new(1, 10, Duration::from_secs(60), 1);
        let key = "user123".into();
        for left in [1, 0] {
            let cmd: RedisCmd = Cmd::new(&key, &policy).into();
            let verdict: Verdict = cmd.query_async(&mut client).await.unwrap();
            assert!(matches!(verdict, Verdict::Allowed(details) if details.remaining == left));
        }
        let cmd: RedisCmd = Cmd::new(&key, &policy).into();
        let verdict: Verdict = cmd.query_async(&mut client).await.unwrap();
        assert!(matches!(verdict, Verdict::Blocked(details) if details.retry_after == 6));
    }
}

/// The crate `tower-redis-cell`: the service of its documentation, asked without a network.
mod tower_redis_cell_as_documented {
    use super::frozen;
    use axum::http::{Method, Request};
    use axum::http::{StatusCode, header};
    use axum::response::{AppendHeaders, IntoResponse, Response};
    use axum::{Router, body::Body, routing::get, routing::post};
    use tower::ServiceExt;
    use tower_redis_cell::redis_cell::{Key, Policy};
    use tower_redis_cell::{Error, RateLimitConfig, RateLimitLayer, RequestAllowedDetails};
    use tower_redis_cell::{ProvideRule, ProvideRuleResult, Rule};

    const BASIC_POLICY: Policy = Policy::from_tokens_per_second(1);
    const STRICT_POLICY: Policy = Policy::from_tokens_per_day(5).max_burst(5);

    #[derive(Clone)]
    struct RuleProvider;

    impl<T> ProvideRule<Request<T>> for RuleProvider {
        fn provide<'a>(&self, req: &'a Request<T>) -> ProvideRuleResult<'a> {
            let api_key = req
                .headers()
                .get("x-api-key")
                .and_then(|val| val.to_str().ok())
                .ok_or("cannot define key, since 'x-api-key' header is missing")?;

            let (path, method) = (req.uri().path(), req.method());

            let rule = if path.contains("/embed") && (method == Method::POST || method == Method::PUT) {
                let key = Key::triple(api_key, path, method.as_str());
                let rule = Rule::new(key, STRICT_POLICY).resource("embeddings::create");
                return Ok(Some(rule));
            } else {
                Rule::new(api_key, BASIC_POLICY)
            };

            Ok(Some(rule))
        }
    }

    /// The service of the documentation, for a server on this port.
    async fn app(port: u16) -> Router {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
        let config = redis::aio::ConnectionManagerConfig::new();
        let connection = redis::aio::ConnectionManager::new_with_config(client, config).await.unwrap();

        let config = RateLimitConfig::new(RuleProvider, |err, _req| match err {
            Error::ProvideRule(err) => (StatusCode::UNAUTHORIZED, err.to_string()).into_response(),
            Error::RateLimit(err) => (
                StatusCode::TOO_MANY_REQUESTS,
                AppendHeaders([(header::RETRY_AFTER, err.details.retry_after)]),
                Body::from("too many requests"),
            )
                .into_response(),
            _ => (StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        })
        .on_success(|details: RequestAllowedDetails, resp: &mut Response<Body>| {
            let headers = resp.headers_mut();
            headers.insert("x-ratelimit-limit", details.details.total.into());
            headers.insert("x-ratelimit-remaining", details.details.remaining.into());
            headers.insert("x-ratelimit-reset", details.details.reset_after.into());
        });

        Router::new()
            .route("/", get(|| async { "Hello, World!" }))
            .route("/embed", post(|| async { "Create embeddings" }))
            .layer(RateLimitLayer::new(config, connection))
    }

    /// The status, the body and the rate limit's headers.
    async fn ask(app: &Router, method: &str, path: &str, api_key: Option<&str>) -> (u16, String, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(api_key) = api_key {
            request = request.header("x-api-key", api_key);
        }
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let shown = |name: &str| {
            let value = response.headers().get(name)?;
            Some(format!("{name}: {}", value.to_str().unwrap()))
        };
        let names = ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
        let headers: Vec<String> = names.iter().filter_map(|name| shown(name)).collect();
        let headers = headers.join(", ");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap(), headers)
    }

    fn answer(status: u16, body: &str, headers: &str) -> (u16, String, String) {
        (status, body.into(), headers.into())
    }

    #[tokio::test]
    async fn the_basic_policy_lets_one_request_a_second_through() {
        let server = frozen();
        let app = app(server.port()).await;
        let unruled = ask(&app, "GET", "/", None).await;
        assert_eq!(unruled.0, 401);

        let hello = answer(
            200,
            "Hello, World!",
            "x-ratelimit-limit: 1, x-ratelimit-remaining: 0, x-ratelimit-reset: 1",
        );
        assert_eq!(ask(&app, "GET", "/", Some("alice")).await, hello);
        let refused = answer(429, "too many requests", "retry-after: 1");
        assert_eq!(ask(&app, "GET", "/", Some("alice")).await, refused);
        assert_eq!(ask(&app, "GET", "/", Some("bob")).await, hello);
        server.pass_us(999_999);
        assert_eq!(ask(&app, "GET", "/", Some("alice")).await, refused);
        server.pass_us(1);
        assert_eq!(ask(&app, "GET", "/", Some("alice")).await, hello);
    }

    #[tokio::test]
    async fn the_strict_policy_lets_a_burst_of_six_through_and_five_a_day() {
        let server = frozen();
        let app = app(server.port()).await;
        for left in (0..6).rev() {
            let reset = (6 - left) * 86_400 / 5;
            let headers =
                format!("x-ratelimit-limit: 6, x-ratelimit-remaining: {left}, x-ratelimit-reset: {reset}");
            let allowed = answer(200, "Create embeddings", &headers);
            assert_eq!(ask(&app, "POST", "/embed", Some("alice")).await, allowed);
        }
        let refused = answer(429, "too many requests", "retry-after: 17280");
        assert_eq!(ask(&app, "POST", "/embed", Some("alice")).await, refused);
        server.pass_ms(17_280_000);
        assert_eq!(ask(&app, "POST", "/embed", Some("alice")).await.0, 200);
        assert_eq!(ask(&app, "POST", "/embed", Some("alice")).await, refused);
    }

    #[tokio::test]
    async fn a_key_of_another_type_is_an_error_of_the_service_not_a_crash() {
        let server = frozen();
        let app = app(server.port()).await;
        server.ask_value("RPUSH alice 1");
        assert_eq!(ask(&app, "GET", "/", Some("alice")).await.0, 500);
        assert_eq!(ask(&app, "GET", "/", Some("bob")).await.0, 200);
    }
}
