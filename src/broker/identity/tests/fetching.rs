//! The real fetcher against a hostile server on this host.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Serves every connection with one behaviour, and counts them.
async fn server<F, Fut>(behave: F) -> (SocketAddr, Arc<Mutex<usize>>)
where
    F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            tokio::spawn(behave(stream));
        }
    });
    (address, count)
}

async fn answering(answer: String) -> (SocketAddr, Arc<Mutex<usize>>) {
    server(move |mut stream| {
        let answer = answer.clone();
        async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

async fn fetch(address: SocketAddr) -> Result<Fetched, FetchError> {
    fetch_within(Duration::from_secs(3), address).await
}

async fn fetch_within(limit: Duration, address: SocketAddr) -> Result<Fetched, FetchError> {
    HttpFetch::within(limit).unwrap().fetch(&format!("http://{address}/jwks"), true).await
}

#[tokio::test]
async fn a_small_answer_comes_with_its_age() {
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=77\r\ncontent-length: 2\r\n\r\n{}";
    let (address, _) = answering(head.to_owned()).await;
    let fetched = fetch(address).await.unwrap();
    assert_eq!(fetched, Fetched { body: b"{}".to_vec(), max_age: Some(Duration::from_secs(77)) });
}

#[tokio::test]
async fn redirects_and_other_statuses_are_errors() {
    let (target, reached) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    for status in [301, 302, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
        let (address, _) = answering(answer).await;
        assert_eq!(fetch(address).await, Err(FetchError::Redirected));
    }
    assert_eq!(*reached.lock().unwrap(), 0);
    for status in [204, 404, 500] {
        let (address, _) = answering(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!(fetch(address).await, Err(FetchError::Status(status)));
    }
}

#[tokio::test]
async fn a_huge_answer_is_cut_off_announced_or_not() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n{".to_owned()).await;
    assert_eq!(fetch(address).await, Err(FetchError::TooLarge));
    let (address, _) = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    assert_eq!(fetch(address).await, Err(FetchError::TooLarge));
}

#[tokio::test]
async fn a_slow_answer_is_given_up_even_when_it_drips() {
    let (silent, _) = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let (dripping, _) = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let limit = Duration::from_millis(400);
    let (silent, dripping) = tokio::join!(fetch_within(limit, silent), fetch_within(limit, dripping));
    assert_eq!((silent, dripping), (Err(FetchError::TimedOut), Err(FetchError::TimedOut)));
}

#[tokio::test]
async fn this_host_is_refused_without_allow_private() {
    let (address, count) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned()).await;
    let fetch = HttpFetch::new().unwrap();
    let port = address.port();
    for (url, error) in [
        (format!("http://127.0.0.1:{port}/"), FetchError::NotHttps),
        (format!("https://127.0.0.1:{port}/"), FetchError::Address),
        (format!("https://localhost:{port}/"), FetchError::Address),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), FetchError::Address),
    ] {
        assert_eq!(fetch.fetch(&url, false).await, Err(error), "{url}");
    }
    assert_eq!(*count.lock().unwrap(), 0, "no connection was made");
    assert!(fetch.fetch(&format!("http://localhost:{port}/"), true).await.is_ok());
}

#[tokio::test]
async fn a_server_that_is_down_or_breaks_off_is_an_error() {
    let (address, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_owned()).await;
    assert_eq!(fetch(address).await, Err(FetchError::Failed));
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(fetch(gone).await, Err(FetchError::Failed));
}

#[tokio::test]
async fn an_identity_is_verified_over_real_http() {
    let keys = json!({ "keys": [rsa_jwk("rsa")] }).to_string();
    let (address, count) =
        answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len())).await;
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
    let identities = Identities::new(clock, Arc::new(HttpFetch::new().unwrap()), BROKER);
    let mut oidc = github();
    oidc.keys = KeySource::Url(format!("http://{address}/jwks"));
    let token = rs256(json!({}), &github_claims());
    let refused = identities.verify(&token, &notes(oidc.clone())).await;
    assert!(matches!(refused, Err(IdentityError::Unavailable { .. })));
    oidc.allow_private = true;
    identities.verify(&token, &notes(oidc)).await.unwrap();
    assert_eq!(*count.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_form_is_posted_within_the_same_bounds() {
    let post = |url: String, allow_private: bool| async move {
        let (body, authorization) = ("code=x".to_owned().into(), Some("Basic eDp5".parse().unwrap()));
        let form = Form { url: &url, allow_private, body, authorization };
        assert!(!format!("{form:?}").contains("code") && !format!("{form:?}").contains("Basic"));
        HttpFetch::new().unwrap().post(form).await
    };
    let (sent, heard) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let mut length = 0;
        while !String::from_utf8_lossy(&request).contains("code=x") {
            length += stream.read(request.get_mut(length..).unwrap()).await.unwrap();
        }
        sent.send(String::from_utf8_lossy(&request).to_lowercase()).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    });
    assert_eq!(post(format!("http://{address}/token"), true).await.unwrap().as_slice(), b"{}");
    let mut heard = heard;
    let heard = heard.recv().await.unwrap();
    for part in ["post /token", "authorization: basic edp5", "application/x-www-form-urlencoded", "code=x"] {
        assert!(heard.contains(part), "{part}: {heard}");
    }
    assert_eq!(post(format!("http://{address}/token"), false).await, Err(FetchError::NotHttps));
    assert_eq!(post("https://169.254.169.254/".to_owned(), true).await, Err(FetchError::Address));
    let (address, _) = answering(
        "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(),
    )
    .await;
    assert_eq!(post(format!("http://{address}/token"), true).await, Err(FetchError::Redirected));
    let (address, _) = answering("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n{".to_owned()).await;
    assert_eq!(post(format!("http://{address}/token"), true).await, Err(FetchError::TooLarge));
}
