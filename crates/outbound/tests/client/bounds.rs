//! Time, size and second tries.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use millstream_outbound::{Client, Limits, Method, OutboundError, Request};

use crate::service::{LIMITS, answer, get, guarded, serve};

fn direct() -> Client {
    Client::direct(Limits { answer_max: 16, ..LIMITS }).unwrap()
}

#[tokio::test]
async fn a_direct_client_takes_a_redirect_for_an_answer() {
    let (address, _) = serve(vec![answer("302 Found", "Location: http://127.0.0.1:1/\r\n", b"")]);
    assert_eq!(direct().send(get(&format!("http://{address}/"))).await.unwrap().status, 302);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_cut_off() {
    let (address, _) = serve(vec![answer("200 OK", "", &[b'0'; 20])]);
    let result = direct().send(get(&format!("http://{address}/"))).await;
    assert!(matches!(result, Err(OutboundError::TooLarge { limit: 16, .. })), "{result:?}");
}

/// An answer with `content`, gzipped.
fn packed(content: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(content).unwrap();
    answer("200 OK", "Content-Encoding: gzip\r\n", &packer.finish().unwrap())
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_and_its_limit_counts_what_comes_out() {
    let (small, bomb) = (packed(b"hello"), packed(&vec![0; 10 << 20]));
    assert!(bomb.len() < 1 << 16, "it is small on the way");
    let (address, heard) = serve(vec![small, bomb]);
    let url = format!("http://{address}/");
    let client = guarded("127.0.0.1");
    assert_eq!(client.send(get(&url)).await.unwrap().body, b"hello");
    assert!(heard.lock().unwrap()[0].contains("accept-encoding: gzip"));
    let result = client.send(get(&url)).await;
    assert!(matches!(result, Err(OutboundError::TooLarge { .. })), "{result:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_too_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/?key=s3cret", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123").unwrap();
        stream
    });
    let client = guarded("127.0.0.1").within(Duration::from_millis(300), 100);
    let error = client.send(get(&url)).await.unwrap_err();
    assert!(matches!(error, OutboundError::TooSlow { .. }), "{error:?}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    drop(server.join().unwrap());
}

#[tokio::test]
async fn a_request_that_may_be_sent_twice_is_tried_again_and_another_is_not() {
    let fine = answer("200 OK", "", b"fine");
    let busy = answer("503 Service Unavailable", "", b"");
    let (address, heard) = serve(vec![Vec::new(), busy.clone(), fine.clone()]);
    let url = format!("http://{address}/");
    let client = guarded("127.0.0.1");
    assert_eq!(client.send(get(&url)).await.unwrap().body, b"fine");
    assert_eq!(heard.lock().unwrap().len(), 3);

    let (address, heard) = serve(vec![busy, fine]);
    let url = format!("http://{address}/");
    let post = Request { method: Method::Post, ..get(&url) };
    assert_eq!(client.send(post).await.unwrap().status, 503);
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_says_when_to_come_back_is_not_asked_before() {
    let later = answer("503 Service Unavailable", "Retry-After: 9\r\n", b"");
    let (address, heard) = serve(vec![later]);
    let answer = guarded("127.0.0.1").send(get(&format!("http://{address}/"))).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("9")));
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_address_where_nobody_listens_gives_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(matches!(direct().send(get(&url)).await, Err(OutboundError::NoAnswer { .. })));
}
