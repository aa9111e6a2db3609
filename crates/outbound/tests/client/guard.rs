//! Where guarded clients go, and where they do not.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, FutureExt, ready};
use millstream_outbound::{AllowList, Answer, Client, Names, OutboundError, Request};

use crate::service::{LIMITS, answer, get, guarded, serve, serve_at};

/// Names that lead where the test says, each look-up to the next address.
#[derive(Default)]
struct Zone(Mutex<BTreeMap<String, Vec<IpAddr>>>);

impl Zone {
    fn with(name: &str, addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
        Arc::new(Self(Mutex::new(BTreeMap::from([(name.to_owned(), addresses)]))))
    }
}

impl Names for Zone {
    fn look_up(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut zone = self.0.lock().unwrap();
        let addresses = zone.get_mut(&host).unwrap();
        let next = if addresses.len() > 1 { addresses.remove(0) } else { addresses[0] };
        ready(Ok(vec![next])).boxed()
    }
}

fn refused(result: Result<Answer, OutboundError>) -> String {
    match result {
        Err(OutboundError::Refused { url, reason }) => format!("{url} {reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let (address, heard) = serve(vec![answer("200 OK", "", b"secrets")]);
    let port = address.port();
    let client = guarded("");
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
    ] {
        refused(client.send(get(&format!("http://{host}:{port}/"))).await);
    }
    assert_eq!(heard.lock().unwrap().len(), 0);
    assert_eq!(
        guarded("127.0.0.1").send(get(&format!("http://{address}/"))).await.unwrap().body,
        b"secrets"
    );
}

#[tokio::test]
async fn only_http_is_spoken() {
    for url in ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "nothing"] {
        let result = guarded("127.0.0.1").send(get(url)).await;
        assert!(matches!(result, Err(OutboundError::Invalid { .. })), "{url}: {result:?}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused() {
    let (address, heard) = serve(vec![answer("200 OK", "", b"")]);
    let zone = Zone::with("rebind.example", &["127.0.0.1"]);
    let client = Client::guarded(LIMITS, AllowList::this_machine(), zone).unwrap();
    let url = format!("http://rebind.example:{}/", address.port());
    let said = refused(client.send(get(&url)).await);
    assert!(said.contains("rebind.example leads to 127.0.0.1"), "{said}");
    assert!(said.contains("MILLSTREAM_OUTBOUND_ALLOW"), "{said}");
    assert_eq!(heard.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_name_is_looked_up_once_for_judgement_and_connection() {
    let (address, heard) = serve_at("127.0.0.2:0", vec![answer("200 OK", "", b"")]);
    // A second look-up would lead to where nothing may go.
    let zone = Zone::with("rebind.example", &["127.0.0.2", "169.254.169.254"]);
    let allow = "127.0.0.2/32".parse().unwrap();
    let client = Client::guarded(LIMITS, allow, zone).unwrap();
    let url = format!("http://rebind.example:{}/", address.port());
    assert_eq!(client.send(get(&url)).await.unwrap().status, 200);
    assert_eq!(heard.lock().unwrap().len(), 1);
    // Now the name leads there, and the next connection is refused.
    refused(client.send(get(&url)).await);
}

#[tokio::test]
async fn a_redirect_is_followed_and_judged_like_the_first_address() {
    let (to, heard) = serve_at("127.0.0.2:0", vec![answer("200 OK", "", b"there")]);
    let moved = format!("Location: http://{to}/there\r\n");
    let (from, _) = serve(vec![answer("302 Found", &moved, b"")]);
    let url = format!("http://{from}/");
    let said = refused(guarded("127.0.0.1").send(get(&url)).await);
    assert!(said.contains("127.0.0.2"), "{said}");
    assert_eq!(heard.lock().unwrap().len(), 0);
    assert_eq!(guarded("127.0.0.0/8").send(get(&url)).await.unwrap().body, b"there");

    let metadata = answer("302 Found", "Location: http://169.254.169.254/latest/\r\n", b"");
    let (from, _) = serve(vec![metadata]);
    refused(guarded("0.0.0.0/0").send(get(&format!("http://{from}/"))).await);
}

#[tokio::test]
async fn another_host_gets_none_of_the_headers_and_the_same_host_gets_them() {
    let (to, there) = serve(vec![answer("200 OK", "", b"")]);
    let elsewhere = format!("Location: http://{to}/there\r\n");
    let (from, here) = serve(vec![
        answer("307 Temporary Redirect", "Location: /again\r\n", b""),
        answer("307 Temporary Redirect", &elsewhere, b""),
    ]);
    let headers = [("authorization", "Bearer s3cret".to_owned()), ("x-key", "s3cret".to_owned())];
    let url = format!("http://{from}/");
    let request = Request { headers: &headers, ..get(&url) };
    assert_eq!(guarded("127.0.0.1").send(request).await.unwrap().status, 200);
    let here = here.lock().unwrap();
    assert_eq!(here.len(), 2);
    assert!(here.iter().all(|request| request.contains("Bearer s3cret")), "{here:?}");
    let there = there.lock().unwrap();
    assert!(!there[0].contains("s3cret"), "{there:?}");
}

#[tokio::test]
async fn redirects_end() {
    let (address, heard) = serve(vec![answer("302 Found", "Location: /again\r\n", b"")]);
    let result = guarded("127.0.0.1").send(get(&format!("http://{address}/"))).await;
    assert!(matches!(result, Err(OutboundError::Redirects { limit: 5, .. })), "{result:?}");
    assert_eq!(heard.lock().unwrap().len(), 6);
}
