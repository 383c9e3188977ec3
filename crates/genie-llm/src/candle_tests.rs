//! Each family against candle-transformers' model of it, in single precision.

use std::collections::HashMap;
use std::io::Cursor;

use candle_core::quantized::gguf_file::{self, Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::{
    gemma3, olmo2, quantized_llama, quantized_qwen2, quantized_qwen3, smol::smollm3,
};

use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::reader::Reader;
use crate::tiny::{Tiny, WINDOW};
use crate::weights::Form;

/// Longer than the window of gemma3.
const TEXT: [u32; 24] = [
    9, 71, 14, 33, 98, 4, 60, 8, 151, 6, 70, 13, 201, 31, 77, 2, 64, 65, 90, 18, 239, 1, 9, 52,
];

/// A tiny model whose matrices are floats too, and so is what candle computes
/// with. candle does not stretch the positions of gemma3, so neither does the
/// file.
fn floats(tiny: &Tiny) -> Result<Vec<u8>> {
    let bytes = tiny.bytes();
    let mut file = Cursor::new(&bytes);
    let content = Content::read(&mut file)?;
    let tensors = content
        .tensor_infos
        .keys()
        .map(|name| {
            let tensor = content.tensor(&mut file, name, &Device::Cpu)?;
            let tensor = tensor.dequantize(&Device::Cpu)?;
            Ok((name.as_str(), QTensor::quantize(&tensor, GgmlDType::F32)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, x)| (*name, x)).collect();
    let single = Value::U32(0);
    let metadata = content.metadata.iter();
    let mut metadata: Vec<(&str, &Value)> = metadata
        .filter(|(key, _)| !key.contains("rope.scaling"))
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    metadata.push(("general.dtype", &single));
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &metadata, &tensors)?;
    Ok(file.into_inner())
}

/// Ours: the logits behind each token.
fn ours(bytes: &[u8]) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("floats.gguf");
    std::fs::write(&path, bytes).expect("written");
    let gguf = Gguf::open(&path).expect("opened");
    let decoder = Decoder::load_as(Form::Floats, &gguf, &Device::Cpu).expect("a decoder");
    Reader::new(decoder).read(&TEXT)
}

/// Tensors by the names that they have in candle's unquantized models.
fn renamed(content: &Content, file: &mut Cursor<&[u8]>) -> Result<HashMap<String, Tensor>> {
    let family = content.metadata["general.architecture"].to_string()?;
    let gemma = family == "gemma3";
    let mut parts: HashMap<&str, &str> = [
        ("attn_q.", "self_attn.q_proj."),
        ("attn_k.", "self_attn.k_proj."),
        ("attn_v.", "self_attn.v_proj."),
        ("attn_output.", "self_attn.o_proj."),
        ("attn_q_norm.", "self_attn.q_norm."),
        ("attn_k_norm.", "self_attn.k_norm."),
        ("ffn_gate.", "mlp.gate_proj."),
        ("ffn_up.", "mlp.up_proj."),
        ("ffn_down.", "mlp.down_proj."),
        ("attn_norm.", "input_layernorm."),
        ("ffn_norm.", "post_attention_layernorm."),
        ("post_attention_norm.", "post_attention_layernorm."),
        ("post_ffw_norm.", "post_feedforward_layernorm."),
    ]
    .into();
    if gemma {
        parts.insert("ffn_norm.", "pre_feedforward_layernorm.");
    }
    let names: Vec<&String> = content.tensor_infos.keys().collect();
    names
        .into_iter()
        .map(|name| {
            let tensor = content.tensor(file, name, &Device::Cpu)?;
            let mut tensor = tensor.dequantize(&Device::Cpu)?;
            let turned = name.contains("attn_q.") || name.contains("attn_k.");
            if family == "smollm3" && turned {
                tensor = by_halves(&tensor)?;
            }
            // The file has what gemma3's norms multiply by, and candle wants
            // that less one.
            if gemma && name.contains("norm") {
                tensor = (tensor - 1.0)?;
            }
            let renamed = match name
                .strip_prefix("blk.")
                .and_then(|name| name.split_once('.'))
            {
                Some((layer, part)) => {
                    let (part, kind) = part.rsplit_once('.').expect("a kind of weight");
                    let part = parts[format!("{part}.").as_str()];
                    format!("model.layers.{layer}.{part}{kind}")
                }
                None if name == "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
                None => "model.norm.weight".to_owned(),
            };
            Ok((renamed, tensor))
        })
        .collect()
}

/// Rows of each head in the order in which halves are turned against each
/// other, from that in which neighbours are.
fn by_halves(matrix: &Tensor) -> Result<Tensor> {
    const WIDTH: usize = 16;
    let (rows, columns) = matrix.dims2()?;
    matrix
        .reshape((rows / WIDTH, WIDTH / 2, 2, columns))?
        .transpose(1, 2)?
        .reshape((rows, columns))
}

/// candle's logits behind the last of `tokens`.
fn theirs(family: &str, bytes: &[u8], tokens: &[u32]) -> Result<Vec<f32>> {
    let cpu = &Device::Cpu;
    let mut file = Cursor::new(bytes);
    let content = Content::read(&mut file)?;
    let number = |key: &str| -> Result<usize> {
        Ok(content.metadata[&format!("{family}.{key}")].to_u32()? as usize)
    };
    let input = Tensor::new(tokens, cpu)?.unsqueeze(0)?;
    let vocabulary = number("vocab_size")?;
    let logits =
        match family {
            "llama" => quantized_llama::ModelWeights::from_gguf(content, &mut file, cpu)?
                .forward(&input, 0)?,
            "qwen2" => quantized_qwen2::ModelWeights::from_gguf(content, &mut file, cpu)?
                .forward(&input, 0)?,
            "qwen3" => quantized_qwen3::ModelWeights::from_gguf(content, &mut file, cpu)?
                .forward(&input, 0)?,
            // Its quantized model has another gate.
            "gemma3" => {
                let config = gemma3::Config {
                    attention_bias: false,
                    head_dim: number("attention.key_length")?,
                    hidden_activation: Activation::GeluPytorchTanh,
                    hidden_size: number("embedding_length")?,
                    intermediate_size: number("feed_forward_length")?,
                    num_attention_heads: number("attention.head_count")?,
                    num_hidden_layers: number("block_count")?,
                    num_key_value_heads: number("attention.head_count_kv")?,
                    rms_norm_eps: 1e-5,
                    rope_theta: 1e6,
                    rope_local_base_freq: 10_000.0,
                    vocab_size: vocabulary,
                    final_logit_softcapping: None,
                    attn_logit_softcapping: None,
                    query_pre_attn_scalar: number("attention.key_length")?,
                    sliding_window: WINDOW,
                    sliding_window_pattern: 6,
                    max_position_embeddings: number("context_length")?,
                };
                let tensors = renamed(&content, &mut file)?;
                let weights = VarBuilder::from_tensors(tensors, DType::F32, cpu);
                let mut model = gemma3::Model::new(false, &config, weights)?;
                // Several tokens at once it refuses.
                let mut logits = None;
                for position in 0..tokens.len() {
                    logits = Some(model.forward(&input.narrow(1, position, 1)?, position)?);
                }
                logits.expect("at least one token")
            }
            "olmo2" => {
                let config = olmo2::Config {
                    vocab_size: vocabulary,
                    hidden_size: number("embedding_length")?,
                    intermediate_size: number("feed_forward_length")?,
                    attention_bias: false,
                    num_hidden_layers: number("block_count")?,
                    num_attention_heads: number("attention.head_count")?,
                    num_key_value_heads: number("attention.head_count_kv")?,
                    rms_norm_eps: 1e-5,
                    hidden_act: Activation::Silu,
                    max_position_embeddings: number("context_length")?,
                    rope_theta: 10_000.0,
                    tie_word_embeddings: true,
                    clip_qkv: None,
                };
                let mut tensors = renamed(&content, &mut file)?;
                // It looks for a matrix of its own whatever it is told.
                let embedding = tensors["model.embed_tokens.weight"].clone();
                tensors.insert("lm_head.weight".to_owned(), embedding);
                let weights = VarBuilder::from_tensors(tensors, DType::F32, cpu);
                olmo2::Model::new(&config, weights)?.forward(&input, 0)?
            }
            "smollm3" => {
                let config = smollm3::Config {
                    vocab_size: vocabulary,
                    hidden_size: number("embedding_length")?,
                    intermediate_size: number("feed_forward_length")?,
                    num_hidden_layers: number("block_count")?,
                    num_attention_heads: number("attention.head_count")?,
                    num_key_value_heads: number("attention.head_count_kv")?,
                    max_position_embeddings: number("context_length")?,
                    tie_word_embeddings: true,
                    rope_theta: 10_000.0,
                    rms_norm_eps: 1e-5,
                    hidden_act: Activation::Silu,
                    attention_bias: None,
                    attention_dropout: None,
                    mlp_bias: None,
                    sliding_window: None,
                    use_sliding_window: None,
                    rope_scaling: None,
                    bos_token_id: None,
                    eos_token_id: None,
                    pad_token_id: None,
                    max_window_layers: None,
                    no_rope_layers: None,
                    no_rope_layer_interval: Some(4),
                };
                let tensors = renamed(&content, &mut file)?;
                let weights = VarBuilder::from_tensors(tensors, DType::F32, cpu);
                smollm3::ModelForCausalLM::new(&config, weights)?.forward(&input, 0)?
            }
            other => panic!("no model of the family {other}"),
        };
    let size = logits.dim(D::Minus1)?;
    logits.reshape(size)?.to_vec1()
}

#[test]
fn every_family_says_what_candles_model_of_it_says() -> Result<()> {
    for family in ["llama", "qwen2", "qwen3", "smollm3", "olmo2", "gemma3"] {
        for seed in [1, 2] {
            let tiny = Tiny {
                family,
                seed,
                ..Tiny::default()
            };
            let bytes = floats(&tiny)?;
            let found = ours(&bytes);
            for count in [1, 2, 15, TEXT.len()] {
                let wanted = theirs(family, &bytes, &TEXT[..count])?;
                let both = found[count - 1].iter().zip(&wanted);
                let apart = both.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                let spread = wanted.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                assert_eq!(found[count - 1].len(), wanted.len());
                assert!(spread > 0.5, "{family}: logits that say nothing");
                assert!(apart < 1e-3, "{family} {seed} {count}: {apart} of {spread}");
            }
        }
    }
    Ok(())
}
