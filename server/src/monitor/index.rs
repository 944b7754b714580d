//! `/`: a page with links to the others.

use super::answer::{Answer, Content};

/// Path, and what a person finds there.
const PAGES: [(&str, &str); 7] = [
    ("/varz", "The server: settings, traffic, memory, processor"),
    ("/connz", "Client connections, open and closed"),
    ("/subsz", "Subscriptions and the lists they are kept in"),
    ("/accountz", "Accounts, and one of them with ?acc=name"),
    ("/accstatz", "What accounts use"),
    ("/healthz", "Whether clients are served"),
    ("/metrics", "Numbers for Prometheus"),
];

/// The page; links are relative to the server's root.
pub(super) fn page(base_path: &str) -> Answer {
    let base = base_path.trim_end_matches('/');
    let links: String = PAGES
        .iter()
        .map(|(path, what)| format!("<li><a href=\"{base}{path}\">{path}</a> {what}</li>\n"))
        .collect();
    let (pinion, peer) = (crate::PINION_VERSION, crate::PEER_VERSION);
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Pinion</title>\n\
         <style>body{{font-family:system-ui,sans-serif;margin:2rem}}li{{margin:.4rem 0}}a{{display:inline-block;min-width:7rem}}</style></head>\n\
         <body>\n<h1>Pinion {pinion}</h1>\n<p>A NATS server, at the level of nats-server {peer}.</p>\n<ul>\n{links}</ul>\n</body>\n</html>\n"
    );
    Answer::new(200, Content::Html, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links carry the base path.
    #[test]
    fn links_carry_the_base_path() {
        for (base, link) in [("/", "href=\"/varz\""), ("/nats", "href=\"/nats/varz\"")] {
            let body = String::from_utf8(page(base).body).unwrap();
            assert!(body.contains(link), "{body}");
        }
    }
}
