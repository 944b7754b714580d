//! Which page a request is for.
//!
//! Owns: paths, request counts, the shape of a response. Not here: what the pages say.

use std::future::Future;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use super::answer::{Answer, Content};
use super::request::{clean_path, Query};
use super::{accounts, connz, healthz, index, metrics, subsz, varz, Monitor};

/// Pages of the peer that this server does not have yet.
const NOT_BUILT: [&str; 8] = [
    "/routez",
    "/gatewayz",
    "/leafz",
    "/jsz",
    "/ipqueuesz",
    "/raftz",
    "/stacksz",
    "/debug/vars",
];

impl Monitor {
    /// Answers one request; methods make no difference, as at the peer.
    pub(super) async fn respond<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let clean = clean_path(path);
        let answer = if clean == path {
            self.answer(path, &Query::parse(query.unwrap_or_default())).await
        } else {
            Answer::redirect(&clean, query)
        };
        response(answer)
    }

    async fn answer(&self, path: &str, query: &Query) -> Answer {
        let Some(page) = page_of(path, &self.facts.listen.base_path) else {
            return Answer::not_found();
        };
        match page {
            "/" => {
                self.count("/");
                index::page(&self.facts.listen.base_path)
            }
            "/varz" => {
                self.count("/varz");
                self.gathered(varz::varz(self)).await
            }
            "/connz" => match connz::ConnzOptions::parse(query) {
                Ok(options) => {
                    self.count("/connz");
                    self.gathered(connz::connz(self, options)).await
                }
                Err(answer) => answer,
            },
            "/subsz" | "/subscriptionsz" => {
                self.count("/subsz");
                match subsz::SubszOptions::parse(query) {
                    Ok(options) => self.gathered(subsz::subsz(self, options)).await,
                    Err(answer) => answer,
                }
            }
            "/accountz" => {
                self.count("/accountz");
                self.gathered(accounts::accountz(self, query)).await
            }
            "/accstatz" => {
                self.count("/accstatz");
                match query.boolean("unused") {
                    Ok(with_unused) => self.gathered(accounts::accstatz(self, with_unused)).await,
                    Err(answer) => answer,
                }
            }
            "/healthz" => {
                self.count("/healthz");
                healthz::healthz(query, self.shard.is_serving())
            }
            "/metrics" => self.gathered(metrics::metrics(self)).await,
            page if NOT_BUILT.contains(&page) => {
                Answer::new(404, Content::Text, format!("{page} is not built yet\n"))
            }
            _ => Answer::not_found(),
        }
    }

    /// An answer that needs the shards: a few at a time.
    async fn gathered(&self, answer: impl Future<Output = Answer>) -> Answer {
        let _permit = self.gathers.take().await;
        answer.await
    }

    fn count(&self, page: &'static str) {
        *self.requests.borrow_mut().entry(page).or_insert(0) += 1;
    }
}

/// The page behind the base path, which itself is `/`.
fn page_of<'a>(path: &'a str, base_path: &str) -> Option<&'a str> {
    if base_path == "/" {
        return Some(path);
    }
    match path.strip_prefix(base_path)? {
        "" => Some("/"),
        "/" => None,
        page if page.starts_with('/') => Some(page),
        _ => None,
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let content_type = match answer.content {
        Content::Json => "application/json",
        Content::Text => "text/plain; charset=utf-8",
        Content::Html => "text/html; charset=utf-8",
        Content::Metrics => "text/plain; version=0.0.4; charset=utf-8",
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("our codes are valid");
    let headers = response.headers_mut();
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    };
    put("content-type", content_type);
    if answer.content == Content::Json {
        put("access-control-allow-origin", "*");
    }
    if answer.status == 404 {
        put("x-content-type-options", "nosniff");
    }
    if let Some(location) = answer.location {
        // A path that is no header value came from no honest client; the page says the same.
        if let Ok(value) = HeaderValue::from_str(&location) {
            headers.insert(HeaderName::from_static("location"), value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The base path stands before every page; alone it is the index.
    #[test]
    fn pages_stand_behind_the_base_path() {
        for (path, base, page) in [
            ("/", "/", Some("/")),
            ("/varz", "/", Some("/varz")),
            ("/varz/", "/", Some("/varz/")),
            ("/nats", "/nats", Some("/")),
            ("/nats/", "/nats", None),
            ("/nats/varz", "/nats", Some("/varz")),
            ("/natsvarz", "/nats", None),
            ("/varz", "/nats", None),
            ("/a/b/debug/vars", "/a/b", Some("/debug/vars")),
        ] {
            assert_eq!(page_of(path, base), page, "{path} behind {base}");
        }
    }
}
