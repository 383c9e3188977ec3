//! A model of a few kilobytes with random weights, for tests of everything
//! but its wisdom.

use std::io::Cursor;
use std::path::PathBuf;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

pub(crate) const IM_START: &str = "<|im_start|>";
pub(crate) const IM_END: &str = "<|im_end|>";

/// What the file is to be like.
#[derive(Debug, Clone)]
pub(crate) struct Tiny {
    pub(crate) family: &'static str,
    pub(crate) context: u32,
    pub(crate) seed: u64,
    /// It writes the tokens of [`WORDS`] and next to no others, so that what it
    /// writes has occurred before.
    pub(crate) repetitive: bool,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            family: "llama",
            context: 2048,
            seed: 1,
            repetitive: false,
        }
    }
}

/// What a repetitive one writes.
pub(crate) const WORDS: std::ops::Range<usize> = 65..76;
const HIDDEN: usize = 64;
const INNER: usize = 128;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = 16;
/// What five of six layers of gemma3 see.
pub(crate) const WINDOW: usize = 16;

impl Tiny {
    /// In smollm3 the fourth one has no positions, in gemma3 the sixth one
    /// looks at everything.
    fn layers(&self) -> usize {
        match self.family {
            "smollm3" => 4,
            "gemma3" => 7,
            _ => 2,
        }
    }

    /// The file as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let metadata = self.metadata();
        let tensors = self.tensors();
        let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (&**k, v)).collect();
        let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(k, v)| (&**k, v)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).expect("written");
        file.into_inner()
    }

    /// The file in a folder that goes with the guard.
    pub(crate) fn write(&self) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tiny.gguf");
        std::fs::write(&path, self.bytes()).expect("written");
        (folder, path)
    }

    /// The bytes, a few merges, and three control tokens at the end.
    pub(crate) fn vocabulary() -> Vec<String> {
        let mut stand_ins = (0x100u32..).filter_map(char::from_u32);
        let mut tokens: Vec<String> = (0..=255u8)
            .map(|byte| match byte {
                b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte).to_string(),
                _ => stand_ins.next().expect("there are more").to_string(),
            })
            .collect();
        for merged in ["in", "the", "th", "Ġt", "Ġthe"] {
            tokens.push(merged.to_owned());
        }
        for control in ["<|endoftext|>", IM_START, IM_END] {
            tokens.push(control.to_owned());
        }
        tokens
    }

    /// What gemma3's is like: tokens with their kinds and scores.
    pub(crate) fn scored() -> Vec<(String, i32, f32)> {
        let mut tokens: Vec<(String, i32, f32)> = Vec::new();
        let mut add = |text: &str, kind: i32, score: f32| {
            tokens.push((text.to_owned(), kind, score));
        };
        for control in ["<pad>", "<eos>", "<bos>"] {
            add(control, 3, 0.0);
        }
        add("<unk>", 2, 0.0);
        for byte in 0..=255u8 {
            add(&format!("<0x{byte:02X}>"), 6, 0.0);
        }
        for own in ["\n", "\n\n", "  ", "   ", "<table>"] {
            add(own, 4, 0.0);
        }
        for control in ["<start_of_turn>", "<end_of_turn>"] {
            add(control, 3, 0.0);
        }
        let merged = [
            "in", "th", "▁t", "the", "▁the", "er", "an", "▁a", "ин", "网",
        ];
        let letters = ('a'..='z').chain('A'..='Z').chain(['▁', 'и', 'н']);
        let letters = letters.map(String::from);
        for (text, score) in merged.map(String::from).into_iter().chain(letters).zip(0..) {
            add(&text, 1, -(score as f32));
        }
        tokens
    }

    /// Tokenizer and window of gemma3.
    fn gemma(&self) -> Vec<(String, Value)> {
        let tokens = Self::scored();
        let array = |values: Vec<Value>| Value::Array(values);
        let each =
            |of: &dyn Fn(&(String, i32, f32)) -> Value| array(tokens.iter().map(of).collect());
        let text = |text: &str| Value::String(text.to_owned());
        let own = |key: &str| format!("gemma3.{key}");
        let vocabulary = |key: &str| format!("tokenizer.ggml.{key}");
        let window = u32::try_from(WINDOW).expect("small");
        vec![
            (own("attention.sliding_window"), Value::U32(window)),
            (own("rope.freq_base"), Value::F32(1e6)),
            (own("rope.scaling.type"), text("linear")),
            (own("rope.scaling.factor"), Value::F32(4.0)),
            (vocabulary("model"), text("llama")),
            (vocabulary("tokens"), each(&|token| text(&token.0))),
            (vocabulary("token_type"), each(&|token| Value::I32(token.1))),
            (vocabulary("scores"), each(&|token| Value::F32(token.2))),
            (vocabulary("bos_token_id"), Value::U32(2)),
            (vocabulary("eos_token_id"), Value::U32(1)),
            (vocabulary("unknown_token_id"), Value::U32(3)),
            (vocabulary("add_bos_token"), Value::Bool(false)),
            (vocabulary("add_space_prefix"), Value::Bool(false)),
        ]
    }

    fn metadata(&self) -> Vec<(String, Value)> {
        let mut metadata = self.shared_metadata();
        if self.family == "gemma3" {
            metadata.retain(|(key, _)| !key.starts_with("tokenizer.") && !key.contains("rope."));
            metadata.extend(self.gemma());
        }
        metadata
    }

    fn vocabulary_size(&self) -> usize {
        match self.family {
            "gemma3" => Self::scored().len(),
            _ => Self::vocabulary().len(),
        }
    }

    fn shared_metadata(&self) -> Vec<(String, Value)> {
        let tokens = Self::vocabulary();
        let first_control = tokens.len() - 3;
        let kinds = (0..tokens.len())
            .map(|id| Value::I32(if id < first_control { 1 } else { 3 }))
            .collect();
        let text = |text: &str| Value::String(text.to_owned());
        let number = |number: usize| Value::U32(u32::try_from(number).expect("small"));
        let family = self.family;
        let own = |key: &str| format!("{family}.{key}");
        let merges = ["i n", "t h", "th e", "Ġ t", "Ġ the"];
        vec![
            ("general.architecture".to_owned(), text(family)),
            (own("block_count"), number(self.layers())),
            (own("context_length"), Value::U32(self.context)),
            (own("embedding_length"), number(HIDDEN)),
            (own("feed_forward_length"), number(INNER)),
            (own("attention.head_count"), number(HEADS)),
            (own("attention.head_count_kv"), number(KV_HEADS)),
            (own("attention.key_length"), number(HEAD_DIM)),
            (own("attention.value_length"), number(HEAD_DIM)),
            (own("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
            (own("rope.freq_base"), Value::F32(10_000.0)),
            (own("rope.dimension_count"), number(HEAD_DIM)),
            (own("vocab_size"), number(self.vocabulary_size())),
            ("tokenizer.ggml.model".to_owned(), text("gpt2")),
            ("tokenizer.ggml.pre".to_owned(), text("qwen2")),
            (
                "tokenizer.ggml.tokens".to_owned(),
                Value::Array(tokens.iter().map(|token| text(token)).collect()),
            ),
            ("tokenizer.ggml.token_type".to_owned(), Value::Array(kinds)),
            (
                "tokenizer.ggml.merges".to_owned(),
                Value::Array(merges.iter().map(|merge| text(merge)).collect()),
            ),
            (
                "tokenizer.ggml.bos_token_id".to_owned(),
                number(first_control),
            ),
            (
                "tokenizer.ggml.eos_token_id".to_owned(),
                number(tokens.len() - 1),
            ),
            (
                "tokenizer.ggml.add_bos_token".to_owned(),
                Value::Bool(false),
            ),
        ]
    }

    fn tensors(&self) -> Vec<(String, QTensor)> {
        let mut random = Random(self.seed);
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize], dtype: GgmlDType, center: f32| {
            let count = shape.iter().product();
            let mut numbers: Vec<f32> = (0..count).map(|_| center + random.next()).collect();
            if self.repetitive && name == "token_embd.weight" {
                for (token, row) in numbers.chunks_exact_mut(HIDDEN).enumerate() {
                    let factor = if WORDS.contains(&token) { 3.0 } else { 0.0 };
                    row.iter_mut().for_each(|number| *number *= factor);
                }
            }
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu).expect("a tensor");
            let tensor = QTensor::quantize(&tensor, dtype).expect("quantized");
            tensors.push((name, tensor));
        };
        let vocabulary = self.vocabulary_size();
        let queries = HEADS * HEAD_DIM;
        let keys = KV_HEADS * HEAD_DIM;
        let (plain, packed) = (GgmlDType::F32, GgmlDType::Q8_0);
        add(
            "token_embd.weight".into(),
            &[vocabulary, HIDDEN],
            packed,
            0.0,
        );
        add("output_norm.weight".into(), &[HIDDEN], plain, 1.0);
        for layer in 0..self.layers() {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let [attention, feed_forward] = match self.family {
                "olmo2" => ["post_attention_norm.weight", "post_ffw_norm.weight"],
                _ => ["attn_norm.weight", "ffn_norm.weight"],
            };
            add(name(attention), &[HIDDEN], plain, 1.0);
            add(name(feed_forward), &[HIDDEN], plain, 1.0);
            add(name("attn_q.weight"), &[queries, HIDDEN], packed, 0.0);
            add(name("attn_k.weight"), &[keys, HIDDEN], GgmlDType::Q5_0, 0.0);
            add(name("attn_v.weight"), &[keys, HIDDEN], packed, 0.0);
            add(name("attn_output.weight"), &[HIDDEN, queries], packed, 0.0);
            add(name("ffn_gate.weight"), &[INNER, HIDDEN], packed, 0.0);
            add(name("ffn_up.weight"), &[INNER, HIDDEN], packed, 0.0);
            add(name("ffn_down.weight"), &[HIDDEN, INNER], packed, 0.0);
            match self.family {
                "qwen2" => {
                    add(name("attn_q.bias"), &[queries], plain, 0.0);
                    add(name("attn_k.bias"), &[keys], plain, 0.0);
                    add(name("attn_v.bias"), &[keys], plain, 0.0);
                }
                "qwen3" => {
                    add(name("attn_q_norm.weight"), &[HEAD_DIM], plain, 1.0);
                    add(name("attn_k_norm.weight"), &[HEAD_DIM], plain, 1.0);
                }
                "olmo2" => {
                    add(name("attn_q_norm.weight"), &[queries], plain, 1.0);
                    add(name("attn_k_norm.weight"), &[keys], plain, 1.0);
                }
                "gemma3" => {
                    add(name("attn_q_norm.weight"), &[HEAD_DIM], plain, 1.0);
                    add(name("attn_k_norm.weight"), &[HEAD_DIM], plain, 1.0);
                    for part in ["post_attention_norm.weight", "post_ffw_norm.weight"] {
                        add(name(part), &[HIDDEN], plain, 1.0);
                    }
                }
                _ => {}
            }
        }
        tensors
    }
}

/// SplitMix64 (Steele et al. 2014): llama.cpp's output for these models is
/// recorded, so the numbers must never change.
struct Random(u64);

impl Random {
    /// From -0.3 to 0.3.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        ((bits >> 40) as f32 / (1u32 << 24) as f32 - 0.5) * 0.6
    }
}
