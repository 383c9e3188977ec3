//! How well a model foresees a text; `llama-perplexity -m MODEL -f TEXT` tells
//! the same of llama.cpp.
//!
//! `cargo run --release -p genie-llm --example perplexity -- model.gguf text.txt`

use std::path::Path;

use genie_llm::perplexity;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("usage: perplexity MODEL.gguf TEXT".into());
    };
    let found = perplexity(Path::new(&model), &std::fs::read_to_string(text)?)?;
    println!("perplexity {:.4} over {} tokens", found.value, found.tokens);
    Ok(())
}
