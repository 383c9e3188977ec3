use std::sync::mpsc;

use genie_core::{ChatMessage, ChatRole, ContentHash, Sampling, Tenant};

use super::*;
use crate::tiny::Tiny;

fn load(tiny: &Tiny) -> ChatModel {
    let (_folder, path) = tiny.write();
    ChatModel::load(&path, ChatModelOptions::new("tiny", ContentHash::of(b""))).expect("loaded")
}

fn request(text: &str) -> GenerateRequest {
    GenerateRequest::new(vec![ChatMessage::new(ChatRole::User, text)], 24)
}

/// As long as a tiny model can go on, which never comes to an end by itself.
fn long(text: &str) -> GenerateRequest {
    GenerateRequest {
        max_tokens: 1500,
        sampling: Sampling {
            temperature: 50.0,
            ..Sampling::greedy()
        },
        ..request(text)
    }
}

fn listen(model: &ChatModel, request: GenerateRequest) -> (Generation, String) {
    let mut pieces = String::new();
    let generation = model
        .generate(request, &mut |piece| {
            pieces.push_str(piece);
            ControlFlow::Continue(())
        })
        .expect("generated");
    (generation, pieces)
}

#[test]
fn the_pieces_are_the_text_in_every_family() {
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        let model = load(&Tiny {
            family,
            ..Tiny::default()
        });
        let (generation, pieces) = listen(&model, request("What is the internet?"));
        assert_eq!(generation.text, pieces, "{family}");
        assert!(generation.usage.prompt_tokens > 20, "{family}");
        assert!(generation.usage.completion_tokens > 0, "{family}");
        assert_eq!(model.model().context_length, 2048);
    }
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let model = load(&Tiny::default());
    let draw = |seed| {
        let sampling = Sampling {
            temperature: 2.0,
            seed,
            ..Sampling::greedy()
        };
        let request = GenerateRequest {
            sampling,
            ..request("Draw.")
        };
        listen(&model, request).0.text
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn a_prompt_with_a_known_beginning_gives_what_a_fresh_one_gives() {
    let passage = "in the network ".repeat(60);
    let questions = ["What?", "Where in the world?", "What?"].map(|end| format!("{passage}{end}"));
    let used = load(&Tiny::default());
    for question in questions {
        let fresh = load(&Tiny::default());
        let choices = ["Yes", "No", "t"].map(str::to_owned).to_vec();
        let ask = ChoiceRequest {
            messages: request(&question).messages,
            choices,
            first: false,
            tenant: Tenant::default(),
        };
        let a = used.choose(ask.clone()).expect("weighed");
        let b = fresh.choose(ask).expect("weighed");
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let a = listen(&used, request(&question)).0;
        let b = listen(&fresh, request(&question)).0;
        assert_eq!(a.text, b.text);
    }
}

#[test]
fn whoever_breaks_off_gets_no_more_and_the_next_one_is_served() {
    let model = load(&Tiny::default());
    let long = GenerateRequest {
        max_tokens: 1500,
        sampling: Sampling {
            temperature: 5.0,
            ..Sampling::greedy()
        },
        ..request("Go on.")
    };
    let mut calls = 0;
    let generation = model
        .generate(long, &mut |piece| {
            calls += usize::from(!piece.is_empty());
            if calls == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .expect("generated");
    assert_eq!(generation.finish, FinishReason::Cancelled);
    assert_eq!(calls, 3);
    assert!(!generation.text.is_empty());
    let (next, _) = listen(&model, request("Next."));
    assert_ne!(next.finish, FinishReason::Cancelled);
}

#[test]
fn a_stop_string_ends_the_text_and_is_not_part_of_it() {
    let model = load(&Tiny::default());
    let whole = listen(&model, request("Say something.")).0;
    // A stop string out of the middle of what the model says anyway.
    let characters: Vec<char> = whole.text.chars().collect();
    let middle = characters.len() / 2;
    let stop: String = characters[middle..middle + 2].iter().collect();
    let before = whole
        .text
        .split(&stop)
        .next()
        .unwrap_or_default()
        .to_owned();
    let stopped = GenerateRequest {
        stop: vec!["never said".to_owned(), stop],
        ..request("Say something.")
    };
    let (generation, pieces) = listen(&model, stopped);
    assert_eq!(generation.text, before);
    assert_eq!(pieces, before);
    assert_eq!(generation.finish, FinishReason::Stop);
}

#[test]
fn too_long_a_prompt_is_an_error_and_nothing_is_cut() {
    let model = load(&Tiny {
        context: 128,
        ..Tiny::default()
    });
    let long = request(&"x ".repeat(200));
    let error = model
        .generate(long.clone(), &mut |_| ControlFlow::Continue(()))
        .expect_err("it does not fit");
    let GenerateError::ContextOverflow {
        prompt,
        max_tokens,
        limit,
    } = error
    else {
        panic!("another error: {error:?}");
    };
    assert!(prompt > 200);
    assert_eq!((max_tokens, limit), (24, 128));
    let ask = ChoiceRequest {
        messages: long.messages,
        choices: vec!["Yes".to_owned()],
        first: false,
        tenant: Tenant::default(),
    };
    assert!(matches!(
        model.choose(ask),
        Err(GenerateError::ContextOverflow { .. })
    ));
    // The whole context can be used, to its last token.
    let fitting = request("x");
    let prompt = listen(&model, fitting.clone()).0.usage.prompt_tokens;
    let generation = listen(
        &model,
        GenerateRequest {
            max_tokens: 128 - prompt,
            ..fitting
        },
    )
    .0;
    assert_ne!(generation.finish, FinishReason::Cancelled);
}

#[test]
fn the_options_can_narrow_the_context() {
    let (_folder, path) = Tiny::default().write();
    let mut options = ChatModelOptions::new("tiny", ContentHash::of(b""));
    options.context = Some(64);
    let model = ChatModel::load(&path, options).expect("loaded");
    assert_eq!(model.model().context_length, 64);
}

#[test]
fn a_full_queue_is_busy() {
    let (_folder, path) = Tiny::default().write();
    let mut options = ChatModelOptions::new("tiny", ContentHash::of(b""));
    options.queue = 1;
    options.slots = 1;
    let model = ChatModel::load(&path, options).expect("loaded");
    std::thread::scope(|scope| {
        let (running, runs) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let first = scope.spawn({
            let model = &model;
            let request = long("first");
            move || {
                model.generate(request, &mut |piece| {
                    if !piece.is_empty() {
                        running.send(()).ok();
                    }
                    match released.try_recv() {
                        Err(mpsc::TryRecvError::Empty) => ControlFlow::Continue(()),
                        _ => ControlFlow::Break(()),
                    }
                })
            }
        });
        runs.recv().expect("the first runs");
        // One waits in the queue; its caller stays as long as the first runs.
        let caller = Caller::default();
        let (events, _arriving) = crossbeam_channel::bounded(4);
        let entry = model.enter(&Tenant::default(), 2, false, Instant::now());
        let waiting = Talk {
            prompt: vec![1],
            sampling: Sampling::greedy(),
            max_tokens: 1,
            stop: Vec::new(),
            tenant: Tenant::default(),
            lookup: true,
            rule: None,
            weights: None,
            entry: entry.expect("a place"),
            events,
            left: caller.left(),
        };
        let waiting = model.submit(Job::Talk(waiting), false);
        let second = model.generate(long("second"), &mut |_| ControlFlow::Break(()));
        release.send(()).ok();
        let first = first.join().expect("no panic").expect("generated");
        assert!(waiting.is_ok());
        // Where the first was quicker than this thread the queue was free.
        if first.finish == FinishReason::Cancelled {
            assert!(
                matches!(second, Err(GenerateError::Busy { .. })),
                "{second:?}"
            );
        }
    });
}

#[test]
fn whoever_leaves_while_waiting_for_a_choice_is_let_go() {
    let (_folder, path) = Tiny {
        repetitive: true,
        ..Tiny::default()
    }
    .write();
    let mut options = ChatModelOptions::new("tiny", ContentHash::of(b""));
    options.slots = 1;
    let model = ChatModel::load(&path, options).expect("loaded");
    let (running, runs) = mpsc::channel();
    std::thread::scope(|scope| {
        // More work than is done before the caller is asked the first time.
        for _ in 0..12 {
            let (running, model) = (running.clone(), &model);
            scope.spawn(move || {
                let long = GenerateRequest {
                    max_tokens: 1500,
                    lookup: false,
                    ..request("first")
                };
                model.generate(long, &mut |piece| {
                    if !piece.is_empty() {
                        running.send(()).ok();
                    }
                    ControlFlow::Continue(())
                })
            });
        }
        runs.recv().expect("one runs");
        std::thread::sleep(Duration::from_millis(20));
        let ask = ChoiceRequest {
            messages: request("Which?").messages,
            choices: vec!["Yes".to_owned(), "No".to_owned()],
            first: false,
            tenant: Tenant::default(),
        };
        let choice = model.choose_while(ask, &mut || ControlFlow::Break(()));
        assert!(
            matches!(choice, Err(GenerateError::Cancelled)),
            "{choice:?}"
        );
    });
}

#[test]
fn a_form_is_kept_and_a_bad_one_refused_before_anything_is_read() {
    let model = load(&Tiny::default());
    let held = |constraint| GenerateRequest {
        constraint: Some(constraint),
        weights: Some(1),
        max_tokens: 200,
        ..request("Which?")
    };
    let either = Constraint::OneOf(vec!["the first".to_owned(), "another".to_owned()]);
    assert!(model.check(&either).is_ok());
    let (generation, pieces) = listen(&model, held(either));
    assert!(
        ["the first", "another"].contains(&pieces.as_str()),
        "{pieces}"
    );
    assert_eq!(generation.finish, FinishReason::Stop);
    assert_eq!(generation.weights.len(), generation.usage.completion_tokens);
    let bytes: Vec<u8> = generation
        .weights
        .iter()
        .flat_map(|weight| weight.bytes.clone())
        .collect();
    assert_eq!(String::from_utf8_lossy(&bytes), pieces);
    assert!(generation.ruling > Duration::ZERO);
    let bad = Constraint::JsonSchema("{".to_owned());
    assert!(matches!(
        model.check(&bad),
        Err(GenerateError::Constraint { .. })
    ));
    let refused = model.generate(held(bad), &mut |_| ControlFlow::Continue(()));
    assert!(
        matches!(refused, Err(GenerateError::Constraint { .. })),
        "{refused:?}"
    );
}

#[test]
fn weights_come_with_the_text_of_their_tokens() {
    let model = load(&Tiny::default());
    let asked = GenerateRequest {
        weights: Some(0),
        max_tokens: 60,
        ..request("Which?")
    };
    let (mut text, mut bytes) = (String::new(), Vec::new());
    let generation = model.generate_weighed(asked, &mut |piece, weights| {
        text.push_str(piece);
        bytes.extend(weights.iter().flat_map(|weight| weight.bytes.clone()));
        // Whole characters are told, and all bytes of them are.
        assert!(piece.is_empty() || String::from_utf8_lossy(&bytes).starts_with(&text));
        ControlFlow::Continue(())
    });
    let generation = generation.expect("generated");
    assert_eq!(generation.text, text);
    let all = generation.weights.iter().flat_map(|weight| &weight.bytes);
    assert!(all.eq(&bytes), "each once, in order");
}

#[test]
fn tools_need_a_template_that_knows_them() {
    let model = load(&Tiny::default());
    let tool = genie_core::Tool {
        name: "look".to_owned(),
        description: String::new(),
        parameters: "{}".to_owned(),
    };
    let asked = GenerateRequest {
        tools: vec![tool],
        ..request("Look.")
    };
    let refused = model.generate(asked, &mut |_| ControlFlow::Continue(()));
    assert!(
        matches!(refused, Err(GenerateError::NoTools { .. })),
        "{refused:?}"
    );
}

#[test]
fn what_can_never_be_held_is_refused() {
    let (_folder, path) = Tiny::default().write();
    let mut options = ChatModelOptions::new("tiny", ContentHash::of(b""));
    // Two layers, two heads of keys, sixteen wide, two bytes each: 256 bytes a token.
    options.held = 256 * 300;
    let model = ChatModel::load(&path, options).expect("loaded");
    assert_eq!(model.model().context_length, 300);
    let long = GenerateRequest {
        max_tokens: 290,
        ..request("What is the internet?")
    };
    let refused = model.generate(long, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(
        refused,
        Err(GenerateError::ContextOverflow { limit: 300, .. })
    ));
}

#[test]
fn choices_are_log_probabilities() {
    let model = load(&Tiny::default());
    let ask = ChoiceRequest {
        messages: request("Yes or no?").messages,
        choices: ["Yes", "No", ""].map(str::to_owned).to_vec(),
        first: false,
        tenant: Tenant::default(),
    };
    let weights = model.choose(ask).expect("weighed");
    assert!(weights[0] < 0.0 && weights[0].is_finite(), "{weights:?}");
    assert!(weights[1] < 0.0 && weights[1].is_finite(), "{weights:?}");
    // Nothing begins with an empty choice.
    assert_eq!(weights[2], f32::NEG_INFINITY);
}

#[test]
fn tokens_are_counted_without_template() {
    let model = load(&Tiny::default());
    assert_eq!(model.count_tokens(""), 0);
    assert_eq!(model.count_tokens("the"), 1);
    assert_eq!(model.count_tokens("<|im_end|>"), "<|im_end|>".len());
}
