//! Who may use which route: made from the table of routes itself.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use millstream_model::{Role, TenantScope};
use millstream_server::{Access, ROUTES, Route, Verb};

use crate::instance::{Instance, ask, caller};

const ROLES: [Role; 4] = [Role::Viewer, Role::Launcher, Role::Editor, Role::Admin];

/// A request that the route's handler would understand well enough to be asked.
fn probe(route: &Route, tenant: &str) -> Request<Body> {
    let run = "019a9b73-f820-7201-8709-03925c920e92";
    let path = [
        ("{tenant}", tenant),
        ("{run}", run),
        ("{subject}", run),
        ("{asset}", "marts%2Fflights"),
        ("{job}", "production%2Fdaily%20etl"),
        ("{schedule}", "production%2Fdaily%20etl"),
        ("{sensor}", "arrivals"),
        ("{name}", "days"),
        ("{file}", "etl.yaml"),
        ("{hash}", "x"),
        ("{step}", "extract"),
        ("{attempt}", "1"),
        ("{stream}", "out"),
    ]
    .iter()
    .fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value));
    let kind = match route.method {
        Verb::Form => "application/x-www-form-urlencoded",
        _ => "application/json",
    };
    Request::builder()
        .method(route.http_method())
        .uri(path)
        .header(header::HOST, "localhost:3000")
        .header(header::ORIGIN, "http://localhost:3000")
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from("nonsense"))
        .unwrap()
}

/// Whether the layer let the request through; what the handler made of it does not matter here.
async fn passes(router: &Router, route: &Route, tenant: &str) -> bool {
    let heard = ask(router, probe(route, tenant)).await;
    let text = heard.text.to_lowercase();
    let words = ["this needs the role", "unknown tenant", "there is nothing at this address"];
    let refused =
        heard.status == StatusCode::UNAUTHORIZED || words.iter().any(|words| text.contains(words));
    !refused
}

/// The event streams never end, so they are asked apart from the matrix.
fn asked() -> impl Iterator<Item = &'static Route> {
    // A scan and the test of a sensor wait for a daemon, and none runs here.
    ROUTES.iter().filter(|route| !route.path.ends_with("/live") && !route.path.ends_with("/scan"))
}

#[tokio::test]
async fn each_route_lets_in_exactly_the_roles_that_its_table_row_names() {
    let instance = Instance::new().await;
    for role in ROLES {
        let everywhere = instance.seen_by(caller(role, TenantScope::All));
        let here = instance.seen_by(caller(role, TenantScope::One("jfk".parse().unwrap())));
        for route in asked() {
            let (with_all, with_one) = match route.access {
                Access::Public => (true, true),
                Access::Tenant(needed) => (role >= needed, role >= needed),
                Access::Instance(needed) => (role >= needed, false),
                Access::Worker | Access::Sender => (false, false),
            };
            let name = format!("{:?} as {role:?}", route.id);
            assert_eq!(passes(&everywhere, route, "jfk").await, with_all, "{name} everywhere");
            assert_eq!(passes(&here, route, "jfk").await, with_one, "{name} in jfk");
        }
    }
}

#[tokio::test]
async fn another_tenant_answers_exactly_as_one_that_does_not_exist() {
    let instance = Instance::new().await;
    let outsider = caller(Role::Admin, TenantScope::One("jfk".parse().unwrap()));
    let router = instance.seen_by(outsider);
    for route in asked().filter(|route| matches!(route.access, Access::Tenant(_))) {
        let other = ask(&router, probe(route, "lga")).await;
        let none = ask(&router, probe(route, "nowhere")).await;
        assert_eq!(other.status, StatusCode::NOT_FOUND, "{:?}", route.id);
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{:?}", route.id);
        assert!(other.text.contains("Unknown tenant: lga"), "{:?}: {}", route.id, other.text);
        assert!(none.text.contains("Unknown tenant: nowhere"), "{:?}", route.id);
    }
}

#[test]
fn no_two_rows_of_the_table_are_the_same_address() {
    let mut seen = std::collections::BTreeSet::new();
    for route in ROUTES {
        assert!(seen.insert((route.path, route.http_method().to_string())), "{route:?}");
        let has_tenant = route.path.starts_with("/{tenant}");
        let of_tenant = matches!(route.access, Access::Tenant(_) | Access::Sender);
        assert_eq!(has_tenant, of_tenant, "{route:?}");
    }
}
