//! The service over fakes, to look at the page and to point clients at:
//! `cargo run --release -p genie-server --example fake -- [ADDRESS] [no-model]`.
#![allow(
    clippy::expect_used,
    dead_code,
    reason = "a program for developers, with fixtures of the tests"
)]

#[path = "../tests/http/fixture.rs"]
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use genie_core::Generate;
use genie_server::{app, serve};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8080".to_owned());
    let generate: Option<Arc<dyn Generate>> = match arguments.next() {
        Some(_) => None,
        None => Some(Arc::new(
            fixture::Talker::saying(&[
                "It connects 42 networks. ",
                "The exchange opened in 2019. ",
                "It was painted green in 1999.",
            ])
            .pausing(Duration::from_millis(40)),
        )),
    };
    let listener = tokio::net::TcpListener::bind(&address)
        .await
        .expect("a free address");
    println!("http://{}", listener.local_addr().expect("an address"));
    let stop = async {
        tokio::signal::ctrl_c().await.expect("signals");
    };
    serve(listener, app(fixture::state(generate)), stop)
        .await
        .expect("serving");
}
