//! Texts under a rule: they always have their form, whatever the model, the
//! company and the guesses.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use crossbeam_channel::Receiver;
use genie_compute::Appetite;
use genie_core::{ChatMessage, ChatRole, Constraint, FinishReason, Sampling, Tenant, TokenWeight};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::admission::Entry;
use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::grammar::Grammars;
use crate::job::{Event, Job, Talk};
use crate::sampler::Sampler;
use crate::scheduler::{Limits, Scheduler};
use crate::template::ChatTemplate;
use crate::tiny::Tiny;
use crate::tokenizer::Tokenizer;

struct Model {
    scheduler: Scheduler,
    grammars: Grammars,
    tokenizer: Arc<Tokenizer>,
}

struct Asked<'a> {
    prompt: Vec<u32>,
    constraint: Option<&'a Constraint>,
    sampling: Sampling,
    max_tokens: usize,
    lookup: bool,
}

impl<'a> Asked<'a> {
    fn greedy(constraint: &'a Constraint) -> Self {
        Self {
            prompt: prompt(7),
            constraint: Some(constraint),
            sampling: Sampling::greedy(),
            max_tokens: 1500,
            lookup: true,
        }
    }

    fn warm(constraint: &'a Constraint, seed: u64) -> Self {
        Self {
            sampling: Sampling {
                temperature: 1.5,
                seed,
                ..Sampling::greedy()
            },
            ..Self::greedy(constraint)
        }
    }
}

#[derive(Debug, PartialEq)]
struct Text {
    text: String,
    tokens: usize,
    finish: FinishReason,
    weights: Vec<TokenWeight>,
}

impl Model {
    fn open(path: &std::path::Path, slots: usize) -> Self {
        let gguf = Gguf::open(path).expect("opened");
        let tokenizer = Arc::new(Tokenizer::read(&gguf).expect("a tokenizer"));
        let decoder = Decoder::load(&gguf, &Device::Cpu).expect("a decoder");
        let limits = Limits {
            context: decoder.config().context,
            slots,
            held: 1 << 20,
            kept: 1 << 20,
        };
        Self {
            scheduler: Scheduler::new(decoder, Arc::clone(&tokenizer), limits),
            grammars: Grammars::new(&tokenizer).expect("grammars"),
            tokenizer,
        }
    }

    fn tiny(family: &'static str, seed: u64) -> Self {
        let tiny = Tiny {
            family,
            seed,
            ..Tiny::default()
        };
        let (_folder, path) = tiny.write();
        Self::open(&path, 8)
    }

    fn begin(&mut self, asked: &Asked<'_>) -> Receiver<Event> {
        let (events, arriving) = crossbeam_channel::bounded(2 * asked.max_tokens + 2);
        let rule = asked
            .constraint
            .map(|constraint| self.grammars.rule(constraint).expect("a rule"));
        let talk = Talk {
            prompt: asked.prompt.clone(),
            sampling: asked.sampling.clone(),
            max_tokens: asked.max_tokens,
            stop: Vec::new(),
            tenant: Tenant::default(),
            lookup: asked.lookup,
            rule,
            weights: Some(2),
            entry: Entry::default(),
            events,
            left: Arc::new(AtomicBool::new(false)),
        };
        self.scheduler.run(Some(Job::Talk(talk)));
        arriving
    }

    fn finish(&mut self) {
        while self.scheduler.run(None) != Appetite::Idle {}
    }

    fn write(&mut self, asked: &Asked<'_>) -> Text {
        let events = self.begin(asked);
        self.finish();
        read(&events)
    }
}

fn read(events: &Receiver<Event>) -> Text {
    let (mut text, mut weights) = (String::new(), Vec::new());
    for event in events.iter() {
        match event {
            Event::Weight(weight) => weights.push(weight),
            Event::Token(piece) | Event::Rest(piece) => text.push_str(&piece),
            Event::End(end) => {
                let end = end.expect("generated");
                return Text {
                    text,
                    tokens: end.completion_tokens,
                    finish: end.finish,
                    weights,
                };
            }
        }
    }
    panic!("no end came");
}

/// Much repetition, so that there is a lot to guess from.
fn prompt(seed: u32) -> Vec<u32> {
    (0..60).map(|at| (at * at / 3 + seed) % 11 + 65).collect()
}

/// A schema with texts of a bounded length, and who knows them without it.
#[derive(Debug, Clone)]
enum Shape {
    Truth,
    Nothing,
    Number(i64, i64),
    Text(usize),
    Word(Vec<String>),
    List(Box<Shape>, usize),
    Object(Vec<(String, Shape, bool)>),
}

impl Shape {
    fn schema(&self) -> Value {
        match self {
            Self::Truth => json!({"type": "boolean"}),
            Self::Nothing => json!({"type": "null"}),
            Self::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Self::Text(most) => json!({"type": "string", "maxLength": most}),
            Self::Word(words) => json!({"enum": words}),
            Self::List(item, most) => {
                json!({"type": "array", "items": item.schema(), "maxItems": most})
            }
            Self::Object(entries) => {
                let properties: serde_json::Map<String, Value> = entries
                    .iter()
                    .map(|(key, shape, _)| (key.clone(), shape.schema()))
                    .collect();
                let required: Vec<&String> = entries
                    .iter()
                    .filter(|(_, _, required)| *required)
                    .map(|(key, _, _)| key)
                    .collect();
                json!({"type": "object", "properties": properties, "required": required,
                    "additionalProperties": false})
            }
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Truth, Value::Bool(_)) | (Self::Nothing, Value::Null) => true,
            (Self::Number(least, most), value) => value
                .as_i64()
                .is_some_and(|number| (*least..=*most).contains(&number)),
            (Self::Text(most), Value::String(text)) => text.chars().count() <= *most,
            (Self::Word(words), Value::String(text)) => words.contains(text),
            (Self::List(item, most), Value::Array(items)) => {
                items.len() <= *most && items.iter().all(|value| item.accepts(value))
            }
            (Self::Object(entries), Value::Object(found)) => {
                let known = |key: &String| entries.iter().any(|(name, _, _)| name == key);
                found.keys().all(known)
                    && entries.iter().all(|(key, shape, required)| {
                        found
                            .get(key)
                            .map_or(!required, |value| shape.accepts(value))
                    })
            }
            _ => false,
        }
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Truth),
        Just(Shape::Nothing),
        (-1000i64..1000, 0i64..1000).prop_map(|(least, more)| Shape::Number(least, least + more)),
        (0usize..5).prop_map(Shape::Text),
        prop::collection::vec("[a-zé\"\\\\ ]{0,6}", 1..4).prop_map(Shape::Word),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0usize..3).prop_map(|(item, most)| Shape::List(Box::new(item), most)),
            prop::collection::btree_map("[a-zé\" ]{0,5}", (inner, any::<bool>()), 0..4).prop_map(
                |entries| Shape::Object(
                    entries
                        .into_iter()
                        .map(|(key, (shape, required))| (key, shape, required))
                        .collect()
                )
            ),
        ]
    })
}

thread_local! {
    static MODEL: RefCell<Model> = RefCell::new(Model::tiny("qwen2", 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn json_always_has_its_schema(shape in shapes(), seed in any::<u64>(), warm in any::<bool>()) {
        let constraint = Constraint::JsonSchema(shape.schema().to_string());
        let asked = if warm {
            Asked::warm(&constraint, seed)
        } else {
            Asked::greedy(&constraint)
        };
        let found = MODEL.with_borrow_mut(|model| model.write(&asked));
        prop_assert_eq!(found.finish, FinishReason::Stop, "{}", found.text);
        let value: Value = serde_json::from_str(&found.text)
            .map_err(|error| TestCaseError::fail(format!("{error}: {}", found.text)))?;
        prop_assert!(shape.accepts(&value), "{} is none of {}", found.text, shape.schema());
        // The same token by token.
        let plain = Asked { lookup: false, ..asked };
        prop_assert_eq!(MODEL.with_borrow_mut(|model| model.write(&plain)), found);
    }

    #[test]
    fn texts_always_match_their_expression(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "[a-f]{1,5}", "(yes|no|maybe)", "[0-9]{2,4}(\\.[0-9])?", " ", "/", "(é|中){0,2}",
                "[^a-z\\x00-\\x1F]{1,3}", "\\d{1,3}", "\\w", "(?i)end",
            ]),
            1..5,
        ),
        seed in any::<u64>(),
    ) {
        let expression = parts.concat();
        let constraint = Constraint::Regex(expression.clone());
        let found = MODEL.with_borrow_mut(|model| model.write(&Asked::warm(&constraint, seed)));
        prop_assert_eq!(found.finish, FinishReason::Stop);
        let expected = regex::Regex::new(&format!("^(?:{expression})$")).expect("an expression");
        prop_assert!(expected.is_match(&found.text), "{:?} of {}", found.text, expression);
    }

    /// Asking for the best token alone and looking at all of them come to the
    /// same, so a best token that is allowed is always the one.
    #[test]
    fn the_best_token_that_is_allowed_is_chosen(
        shape in shapes(),
        noise in prop::collection::vec(0u32..1000, 300),
    ) {
        let constraint = Constraint::JsonSchema(shape.schema().to_string());
        MODEL.with_borrow(|model| {
            let mut rule = model.grammars.rule(&constraint).expect("a rule");
            let mut sampler = Sampler::new(Sampling::greedy());
            for step in 0..60 {
                let logits: Vec<f32> = (0..model.tokenizer.size() as usize)
                    .map(|token| noise[(token * 7 + step * 31) % noise.len()] as f32)
                    .collect();
                let mut allowed = logits.clone();
                rule.restrict(&mut allowed).expect("a mask");
                let best = Sampler::new(Sampling::greedy()).next(allowed, None).expect("a token");
                let chosen = sampler.next(logits, Some(&mut rule)).expect("a token");
                prop_assert_eq!(chosen, best, "step {}", step);
                if model.tokenizer.is_end(chosen) || rule.take(chosen).expect("taken") {
                    break;
                }
            }
            Ok(())
        })?;
    }
}

fn constraints() -> Vec<Constraint> {
    vec![
        Constraint::JsonSchema(
            json!({"type": "object", "properties": {
                "name": {"type": "string", "maxLength": 20},
                "years": {"type": "array", "items": {"type": "integer", "minimum": 0,
                    "maximum": 3000}, "maxItems": 5},
            }, "required": ["name", "years"], "additionalProperties": false})
            .to_string(),
        ),
        Constraint::Regex("(A|AB|B|C|D|E|F|G){40,60}".to_owned()),
        Constraint::OneOf(vec!["ABBA".to_owned(), "ABC".to_owned()]),
        Constraint::Citing(vec!["1".to_owned(), "3".to_owned()]),
    ]
}

#[test]
fn guesses_change_nothing_of_a_text_under_a_rule() {
    for (family, seed) in [("llama", 1), ("llama", 2), ("qwen2", 3), ("qwen3", 4)] {
        let mut model = Model::tiny(family, seed);
        for constraint in &constraints() {
            for mut asked in [Asked::greedy(constraint), Asked::warm(constraint, seed)] {
                asked.max_tokens = 150;
                let guessed = model.write(&asked);
                asked.lookup = false;
                assert_eq!(
                    model.write(&asked),
                    guessed,
                    "{family} {seed} {constraint:?}"
                );
            }
        }
    }
}

#[test]
fn everybody_under_a_rule_gets_in_company_what_everybody_gets_alone() {
    let constraints = constraints();
    let asked = |index: u32| Asked {
        prompt: prompt(index),
        max_tokens: 80,
        // Some are free.
        constraint: constraints.get(index as usize % 5),
        ..Asked::warm(&constraints[0], u64::from(index))
    };
    let mut together = Model::tiny("llama", 5);
    let events: Vec<_> = (0..8).map(|index| together.begin(&asked(index))).collect();
    together.finish();
    for (index, events) in (0..8).zip(&events) {
        let alone = Model::tiny("llama", 5).write(&asked(index));
        let found = read(events);
        assert_eq!(found.text, alone.text, "{index}");
        assert!(found == alone, "{index}: other weights");
    }
}

#[test]
fn a_text_that_is_complete_ends_without_being_told() {
    let constraint = Constraint::OneOf(vec!["in the".to_owned()]);
    let found = MODEL.with_borrow_mut(|model| model.write(&Asked::greedy(&constraint)));
    assert_eq!(
        (found.text.as_str(), found.finish),
        ("in the", FinishReason::Stop)
    );
    // To the last token that is allowed.
    let tokens = found.tokens;
    let exact = Asked {
        max_tokens: tokens,
        ..Asked::greedy(&constraint)
    };
    let found = MODEL.with_borrow_mut(|model| model.write(&exact));
    assert_eq!(found.finish, FinishReason::Stop);
    let short = Asked {
        max_tokens: tokens - 1,
        ..Asked::greedy(&constraint)
    };
    let found = MODEL.with_borrow_mut(|model| model.write(&short));
    assert_eq!(found.finish, FinishReason::Length);
    assert!("in the".starts_with(&found.text), "{}", found.text);
}

#[test]
fn weights_are_the_model_s_own() {
    let constraint = Constraint::OneOf(vec!["the".to_owned(), "in".to_owned()]);
    let free = Asked {
        constraint: None,
        max_tokens: 1,
        ..Asked::greedy(&constraint)
    };
    let ruled = Asked::greedy(&constraint);
    let (free, ruled) = MODEL.with_borrow_mut(|model| (model.write(&free), model.write(&ruled)));
    let (first, under_rule) = (&free.weights[0], &ruled.weights[0]);
    // What would have been the best without the rule, and what the chosen one
    // was worth then.
    assert_eq!(first.best, under_rule.best);
    assert_eq!(first.best.len(), 2);
    assert_eq!(
        (&first.bytes, first.log_probability),
        (&first.best[0].0, first.best[0].1)
    );
    assert!(first.log_probability < 0.0 && first.best[0].1 >= first.best[1].1);
    assert!(under_rule.log_probability <= first.log_probability);
    assert_eq!(ruled.weights.len(), ruled.tokens);
}

#[test]
fn real_models_keep_to_a_schema() {
    let Some(folder) = std::env::var_os("GENIE_MODELS").map(std::path::PathBuf::from) else {
        eprintln!("skipped: GENIE_MODELS is not set");
        return;
    };
    let constraint = Constraint::JsonSchema(
        json!({"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 60},
            "opened": {"type": "integer", "minimum": 1900, "maximum": 2100},
        }, "required": ["name", "opened"], "additionalProperties": false})
        .to_string(),
    );
    for name in ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"] {
        let path = folder.join(name).join("model.gguf");
        if !path.exists() {
            eprintln!("skipped: GENIE_MODELS has no {name}/model.gguf");
            continue;
        }
        let mut model = Model::open(&path, 1);
        let template = ChatTemplate::read(&Gguf::open(&path).expect("opened")).expect("a template");
        let messages = [ChatMessage::new(
            ChatRole::User,
            "The Łódź exchange « Café » opened in 2019. Write its name and the year it opened as \
             JSON.",
        )];
        let prompt = template
            .tokens(&messages, "", &model.tokenizer)
            .expect("tokens");
        let asked = Asked {
            prompt,
            max_tokens: 120,
            ..Asked::greedy(&constraint)
        };
        let found = model.write(&asked);
        assert_eq!(found.finish, FinishReason::Stop, "{name}: {}", found.text);
        let value: Value = serde_json::from_str(&found.text).expect("JSON");
        assert!(
            value["opened"].is_i64() && value["name"].is_string(),
            "{name}: {value}"
        );
        let plain = model.write(&Asked {
            lookup: false,
            ..asked
        });
        assert_eq!(plain, found, "{name}");
        eprintln!("{name}: {}", found.text);
    }
}
