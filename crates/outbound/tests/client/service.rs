//! A service that answers each connection with the next of its answers and keeps the requests.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_outbound::{AllowList, Client, Limits, Method, Request, SystemNames};

/// The requests of a service so far.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

/// Starts a service at `address` whose connections get these answers, one each.
///
/// An empty answer closes the connection, and the last one is given again and again.
pub(crate) fn serve_at(address: &str, answers: Vec<Vec<u8>>) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let requests = Arc::clone(&heard);
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut buffer = vec![0; 1 << 16];
            let read = match stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => panic!("{error}"),
            };
            requests.lock().unwrap().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
            // The client may have hung up, as over a limit.
            stream.write_all(&answers[index.min(answers.len() - 1)]).ok();
        }
    });
    (address, heard)
}

/// The same at an address of its own.
pub(crate) fn serve(answers: Vec<Vec<u8>>) -> (SocketAddr, Heard) {
    serve_at("127.0.0.1:0", answers)
}

/// An answer with a status line's end, headers and a body.
pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(crate) const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), total: Duration::from_secs(5), answer_max: 1 << 16 };

pub(crate) fn guarded(allow: &str) -> Client {
    let allow: AllowList = allow.parse().unwrap();
    Client::guarded(LIMITS, allow, Arc::new(SystemNames)).unwrap()
}

pub(crate) fn get(url: &str) -> Request<'_> {
    Request { method: Method::Get, url, headers: &[], body: None }
}
