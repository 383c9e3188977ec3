//! A small HTTP server whose answers a test decides, and which remembers what
//! it was asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server has under one path.
#[derive(Clone, Default)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Break the connection after this many bytes of the body, once.
    pub(crate) cut_after: Option<usize>,
    /// Break the connection without a word, once.
    pub(crate) silent: bool,
    /// Answer 401 to requests without this `Authorization`.
    pub(crate) authorization: Option<String>,
    /// Take `Range` into account, as any server of files does.
    pub(crate) ranges: bool,
}

impl Page {
    pub(crate) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ranges: true,
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    pages: Mutex<HashMap<String, Page>>,
    asked: Mutex<Vec<Asked>>,
}

pub(crate) struct Server {
    state: Arc<State>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || while answer(&stream, &state).is_some() {});
            }
        });
        Self { state, port }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.state.pages.lock().unwrap().insert(path.into(), page);
    }

    /// What was asked for under paths that contain `part`.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.path.contains(part))
            .cloned()
            .collect()
    }
}

fn answer(stream: &TcpStream, state: &State) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    state.asked.lock().unwrap().push(Asked {
        path: path.clone(),
        headers: headers.clone(),
    });
    let page = {
        let mut pages = state.pages.lock().unwrap();
        let page = pages.get_mut(&path);
        let copy = page.as_deref().cloned();
        if let Some(page) = page {
            page.cut_after = None;
            page.silent = false;
        }
        copy.unwrap_or(Page {
            status: 404,
            ..Page::default()
        })
    };
    if page.silent {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    reply(stream, &page, &headers)
}

fn reply(mut stream: &TcpStream, page: &Page, asked: &HashMap<String, String>) -> Option<()> {
    let denied =
        page.authorization.is_some() && page.authorization.as_ref() != asked.get("authorization");
    let mut status = if denied { 401 } else { page.status };
    let mut body = if denied { &[][..] } else { &page.body[..] };
    let mut head = String::new();
    let tag = page.headers.iter().find(|(name, _)| *name == "etag");
    let same = match (asked.get("if-range"), tag) {
        (Some(condition), Some((_, tag))) => condition == tag,
        (Some(_), None) => false,
        (None, _) => true,
    };
    let start = asked
        .get("range")
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.split('-').next()?.parse::<usize>().ok())
        .filter(|_| page.ranges && same && status == 200);
    if let Some(start) = start {
        if start < body.len() {
            status = 206;
            head += &format!(
                "content-range: bytes {start}-{}/{}\r\n",
                body.len() - 1,
                body.len()
            );
            body = &body[start..];
        } else {
            status = 416;
            body = &[];
        }
    }
    for (name, value) in &page.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let head = format!(
        "HTTP/1.1 {status} X\r\n{head}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    if let Some(cut) = page.cut_after.filter(|cut| *cut < body.len()) {
        let _ = stream.write_all(&body[..cut]);
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    stream.write_all(body).ok()
}
