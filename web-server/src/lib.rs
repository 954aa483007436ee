//! The chat page and the server that hands it out: the files of a folder over HTTP, and `/config.json`,
//! from which the page learns where the gate is.
//!
//! Not the chat itself: the page talks to gate and connectors over its own WebSockets. The program
//! (`host/chathost`) binds the listener and calls [`serve`]; nothing here knows about servers or sessions.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
//! let page = chathost_web::Page { public: "web-server/public".into(), gate_host: None, gate_port: 3014 };
//! chathost_web::serve(listener, page, std::future::pending()).await
//! # }
//! ```

use std::future::{Future, IntoFuture};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// How long an answer that is under way may still take once the server has been told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// What is served with every answer.
///
/// `no-cache` means "ask before using your copy": whoever edits the page sees the edit on reload. The policy
/// lets the page run only its own files, and open WebSockets to any host, because connectors live on other
/// ports and machines.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-cache"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// What is served, and what the page is told.
#[derive(Debug, Clone)]
pub struct Page {
    /// The folder with `index.html`.
    pub public: PathBuf,
    /// Where the gate is. `None`: on the host that the page itself was fetched from.
    pub gate_host: Option<String>,
    /// The gate's client port.
    pub gate_port: u16,
}

/// Serves the page on `listener` until `stop` completes; answers under way then have one second to end.
///
/// # Errors
///
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    page: Page,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    if !page.public.join("index.html").is_file() {
        tracing::warn!(public = %page.public.display(), "the folder of the web page has no index.html");
    }
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, router(&page)).with_graceful_shutdown(async move {
        stop.await;
        // Nobody listens only when the server has already ended by itself.
        let _ = stopping.send(());
    });
    // A client that sends half a request and waits must not keep the program from ending.
    let overdue = async {
        match stopped.await {
            Ok(()) => tokio::time::sleep(GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = server.into_future() => ended,
        () = overdue => Ok(()),
    }
}

fn router(page: &Page) -> Router {
    let config =
        serde_json::json!({ "gate": { "host": page.gate_host, "port": page.gate_port } }).to_string();
    let config = get(async move || ([(header::CONTENT_TYPE, "application/json")], config));
    let files = ServeDir::new(&page.public).fallback(get(not_found));
    let router = Router::new()
        .route("/config.json", config)
        .fallback_service(files);
    HEADERS.into_iter().fold(router, |router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(
            name,
            HeaderValue::from_static(value),
        ))
    })
}

async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "There is nothing at this address. The chat is at /\n",
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// The page of this crate on a free port, until dropped or told to stop.
    struct Site {
        stop: oneshot::Sender<()>,
        served: tokio::task::JoinHandle<io::Result<()>>,
        address: std::net::SocketAddr,
    }

    async fn site(gate_host: Option<&str>) -> Site {
        let public = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/public"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let page = Page {
            public,
            gate_host: gate_host.map(str::to_owned),
            gate_port: 3014,
        };
        let served = tokio::spawn(serve(listener, page, async move {
            let _ = stopped.await;
        }));
        Site {
            stop,
            served,
            address,
        }
    }

    impl Site {
        /// The whole answer to one request, head in lower case.
        async fn ask(&self, request_line: &str) -> (String, String) {
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            let request = format!("{request_line} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n");
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_lowercase(), body.to_owned())
        }
    }

    #[tokio::test]
    async fn the_root_is_the_page_and_all_parts_have_the_types_that_browsers_insist_on() {
        let site = site(None).await;
        for (path, content_type, content) in [
            ("/", "text/html", "<!doctype html>"),
            ("/style.css", "text/css", ":root"),
            ("/logo.svg", "image/svg+xml", "<svg"),
            ("/js/main.js", "text/javascript", "import"),
        ] {
            let (head, body) = site.ask(&format!("GET {path}")).await;
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            assert!(
                head.contains(&format!("content-type: {content_type}")),
                "{path}: {head}"
            );
            assert!(body.contains(content), "{path}: {body}");
        }
    }

    #[tokio::test]
    async fn every_answer_carries_the_headers() {
        let site = site(None).await;
        for path in ["/", "/js/main.js", "/config.json", "/nothing"] {
            let (head, _) = site.ask(&format!("GET {path}")).await;
            for (name, value) in HEADERS {
                let line = format!("{name}: {}", value.to_lowercase());
                assert!(head.contains(&line), "{path} lacks {line}: {head}");
            }
        }
    }

    #[tokio::test]
    async fn the_page_learns_where_the_gate_is() {
        let (head, body) = site(None).await.ask("GET /config.json").await;
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(body, r#"{"gate":{"host":null,"port":3014}}"#);
        let (_, body) = site(Some("chat.example.org")).await.ask("GET /config.json").await;
        assert_eq!(body, r#"{"gate":{"host":"chat.example.org","port":3014}}"#);
    }

    #[tokio::test]
    async fn what_is_not_there_says_so() {
        let site = site(None).await;
        for path in [
            "/nothing",
            "/js/",
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "/js/%00",
        ] {
            let (head, body) = site.ask(&format!("GET {path}")).await;
            assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
            assert!(body.contains("The chat is at /"), "{path}: {body}");
        }
        let (head, _) = site.ask("POST /").await;
        assert!(head.starts_with("http/1.1 405"), "{head}");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_a_client_that_stalls() {
        let site = site(None).await;
        let mut stalled = TcpStream::connect(site.address).await.unwrap();
        stalled.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
        // Answered after the connection above was accepted: accepts are in order.
        site.ask("GET /").await;
        site.stop.send(()).unwrap();
        site.served.await.unwrap().unwrap();
    }
}
