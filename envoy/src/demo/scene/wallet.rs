//! Serves the wallet's files as a plain web server would: the folder that `cargo xtask build` makes, with the headers that its file
//! `_headers` names. There is no other server part of the wallet.

use std::path::{Component, Path, PathBuf};

use super::http::{Reply, Request};

/// The wallet's folder.
#[derive(Debug)]
pub(crate) struct Pages {
    folder: PathBuf,
}

impl Pages {
    /// The wallet in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Answers a request to its host.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if request.method != "GET" {
            return Reply::status(405);
        }
        let Some((name, bytes)) = self.find(&request.path) else {
            return Reply::status(404);
        };
        self.headers()
            .into_iter()
            .fold(Reply::text(content_type(&name), bytes), |reply, (name, value)| reply.header(name, value))
    }

    /// The headers of every file, as static hosts read them: a line of the paths, then an indented line for each.
    fn headers(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.join("_headers")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(' ')).filter_map(|line| line.trim().split_once(": "));
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()
    }

    /// A file by its path; for a page by the path without `.html`, or the one page of the wallet.
    fn find(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let relative = Path::new(path.trim_start_matches('/'));
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        let name = relative.to_str()?.trim_end_matches('/');
        let page =
            if name.rsplit('/').next().is_some_and(|last| last.contains('.')) { None } else { Some("index.html") };
        let candidates = [Some(name.to_owned()), Some(format!("{name}.html")), page.map(str::to_owned)];
        candidates.into_iter().flatten().filter(|name| !name.is_empty()).find_map(|name| {
            let file = self.folder.join(&name);
            file.is_file().then(|| std::fs::read(&file).ok()).flatten().map(|bytes| (name, bytes))
        })
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
