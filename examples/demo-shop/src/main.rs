//! A small shop: it takes orders and tells which version of it answered.
//!
//! It has no dependencies, so that it builds wherever Rust is.

mod http;
mod orders;
mod stop;

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use http::{Response, Server};
use orders::Counter;

/// What runs here.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let host = std::env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = match TcpListener::bind(format!("{host}:{port}")) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("shop: cannot listen on {host}:{port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let shop = Shop {
        greeting: std::env::var("GREETING").unwrap_or_else(|_| "Welcome".to_owned()),
        log_level: std::env::var("LOG_LEVEL").unwrap_or_else(|_| "info".to_owned()),
        counter: Counter::default(),
    };
    println!("shop {VERSION} listens on {host}:{port}, log level {}", shop.log_level);
    stop::listen_for_term();
    let server = Arc::new(Server::new(move |path| shop.answer(path)));
    server.run(listener);
    println!("shop {VERSION} has finished its requests and ends");
    ExitCode::SUCCESS
}

/// What the shop knows.
struct Shop {
    greeting: String,
    log_level: String,
    counter: Counter,
}

impl Shop {
    fn answer(&self, path: &str) -> Response {
        match path {
            "/" => Response::new(
                200,
                format!("{}! This is shop {VERSION}, log level {}.\n", self.greeting, self.log_level),
            ),
            "/order" => match self.counter.next().place() {
                Ok(receipt) => Response::new(200, receipt),
                Err(problem) => {
                    if self.log_level == "debug" {
                        eprintln!("shop: {problem}");
                    }
                    Response::new(500, format!("{problem}\n"))
                }
            },
            "/version" => Response::new(200, format!("{VERSION}\n")),
            "/health/live" => Response::new(200, "alive\n".to_owned()),
            "/health/ready" if stop::requested() => Response::new(503, "stopping\n".to_owned()),
            "/health/ready" => Response::new(200, "ready\n".to_owned()),
            _ => Response::new(404, "there is no such page in this shop\n".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Shop {
        Shop { greeting: "Hello".to_owned(), log_level: "info".to_owned(), counter: Counter::default() }
    }

    #[test]
    fn greets_as_it_was_told() {
        let response = shop().answer("/");
        assert_eq!(response.status, 200);
        assert!(response.body.starts_with("Hello! This is shop"), "{}", response.body);
    }

    #[test]
    fn is_healthy_and_knows_its_version() {
        let shop = shop();
        assert_eq!(shop.answer("/health/ready").status, 200);
        assert_eq!(shop.answer("/health/live").status, 200);
        assert_eq!(shop.answer("/version").body.trim(), VERSION);
        assert_eq!(shop.answer("/elsewhere").status, 404);
    }
}
