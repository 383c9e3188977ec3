use super::*;
use crate::gguf::Gguf;
use crate::tiny::Tiny;

pub(crate) fn grammars() -> Grammars {
    let (_folder, path) = Tiny::default().write();
    let gguf = Gguf::open(&path).expect("opened");
    let tokenizer = Arc::new(Tokenizer::read(&gguf).expect("a tokenizer"));
    Grammars::new(&tokenizer).expect("grammars")
}

/// Whether a text is complete under a constraint.
fn accepts(grammars: &Grammars, constraint: &Constraint, text: &str) -> bool {
    let mut rule = grammars.rule(constraint).expect("a rule");
    for token in grammars.tokenizer.encode(text).expect("encoded") {
        if !rule.allows(token).expect("asked") {
            return false;
        }
        rule.take(token).expect("taken");
    }
    let end = grammars.tokenizer.ends()[0];
    rule.allows(end).expect("asked")
}

fn tool(name: &str, parameters: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: String::new(),
        parameters: parameters.to_owned(),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[test]
fn each_form_takes_its_own_texts_and_no_others() {
    let schema = r#"{"type": "object", "properties": {"year": {"type": "integer"}},
        "required": ["year"], "additionalProperties": false}"#;
    let calls = |several| Constraint::Calls {
        tools: vec![
            tool("find", schema),
            tool(
                "stop",
                r#"{"type": "object", "additionalProperties": false}"#,
            ),
        ],
        several,
    };
    let find = "<tool_call>\n{\"name\": \"find\", \"arguments\": {\"year\": 7}}\n</tool_call>";
    let stop = "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>";
    let both = format!("{find}\n{stop}");
    let cases: [(Constraint, &[&str], &[&str]); 8] = [
        (
            Constraint::JsonObject,
            &["{}", r#"{"a": [1, null]}"#, "{\n  \"a\": 1\n}"],
            &["", "[]", "{", "{} {}", r#"{"a":}"#, "7", "{\n\n\n\"a\": 1}"],
        ),
        (
            Constraint::JsonSchema(schema.to_owned()),
            &[r#"{"year": 2019}"#, r#"{"year":-1}"#],
            &[
                "{}",
                r#"{"year": "2019"}"#,
                r#"{"year": 1, "b": 2}"#,
                r#"{"year": 2019"#,
            ],
        ),
        (
            Constraint::Regex("[0-9]{4}-[0-9]{2}|none/at all".to_owned()),
            &["2019-05", "none/at all"],
            &["", "2019", "2019-055", "x2019-05"],
        ),
        (
            Constraint::OneOf(owned(&["yes", "no", "no \"one\"\n"])),
            &["yes", "no", "no \"one\"\n"],
            &["", "y", "yesno", "Yes"],
        ),
        (
            Constraint::Citing(owned(&["1", "12"])),
            &["", "It opened in 2019 [1], as [12] says [1].", "1 and 12"],
            &["It opened [2].", "[1", "1]", "[112]", "[[1]]"],
        ),
        (
            Constraint::Citing(Vec::new()),
            &["", "None."],
            &["[1]", "]"],
        ),
        (
            calls(false),
            &[find, stop],
            &["", &both, "find", &find[..20]],
        ),
        (calls(true), &[find, &both], &["", "\n"]),
    ];
    let grammars = grammars();
    for (constraint, fitting, others) in cases {
        for text in fitting {
            assert!(
                accepts(&grammars, &constraint, text),
                "{text:?} {constraint:?}"
            );
        }
        for text in others {
            assert!(
                !accepts(&grammars, &constraint, text),
                "{text:?} {constraint:?}"
            );
        }
    }
}

#[test]
fn what_is_wrong_with_a_constraint_is_told() {
    let schema = |text: &str| Constraint::JsonSchema(text.to_owned());
    let regex = |text: &str| Constraint::Regex(text.to_owned());
    let deep = format!("{}{}{}", r#"{"items":"#.repeat(40), "{}", "}".repeat(40));
    let cases = [
        (schema("{"), "can't be read as JSON"),
        (schema("[]"), "has to be a JSON object"),
        (schema(r#"{"type": "tree"}"#), "tree"),
        (
            schema(r#"{"$ref": "https://example.org/schema"}"#),
            "example.org",
        ),
        (schema(r##"{"$ref": "#/$defs/none"}"##), "none"),
        (
            schema(r#"{"type": "string", "maxLength": 99999999}"#),
            "maxLength",
        ),
        (
            schema(r#"{"type": "array", "minItems": 3, "maxItems": 2}"#),
            "minItems",
        ),
        (schema(&deep), "at most 32 are accepted"),
        (
            schema(&format!("{{\"a\": {:?}}}", "x".repeat(70_000))),
            "65536",
        ),
        (
            schema(&format!(r#"{{"enum": [{}0]}}"#, "0,".repeat(5_000))),
            "4000",
        ),
        (regex("("), ""),
        (regex("(?=a)b"), ""),
        (regex(&"a".repeat(5_000)), "4096"),
        (Constraint::OneOf(Vec::new()), "must not be empty"),
        (Constraint::OneOf(owned(&[""])), "an empty text"),
        (Constraint::OneOf(vec!["a".to_owned(); 501]), "500"),
        (Constraint::Citing(owned(&["1", "a]"])), "a]"),
        (
            Constraint::Calls {
                tools: vec![tool("find", "7")],
                several: false,
            },
            "find",
        ),
        (
            Constraint::Calls {
                tools: Vec::new(),
                several: false,
            },
            "must not be empty",
        ),
    ];
    let grammars = grammars();
    for (constraint, expected) in cases {
        match grammars.rule(&constraint) {
            Err(LlmError::Constraint { reason }) => {
                assert!(
                    reason.contains(expected),
                    "{expected:?} is not in {reason:?}"
                );
                assert!(reason.len() < 1_000 && !reason.contains('\n'), "{reason}");
            }
            other => panic!("{other:?} of {constraint:?}"),
        }
    }
}

/// Each of them would take minutes, gigabytes or the whole stack without
/// limits. What counts is that they end, with a rule or a reason.
#[test]
fn hostile_constraints_end() {
    let schema = |text: String| Constraint::JsonSchema(text);
    let any = |number: usize| {
        format!(
            r#"{{"anyOf": [{{"properties": {{"a{number}": {{"type": "string"}}}}}},
            {{"properties": {{"b{number}": {{"type": "integer"}}}}}}]}}"#
        )
    };
    let product: Vec<String> = (0..24).map(any).collect();
    let cases = [
        schema(r##"{"$ref": "#"}"##.to_owned()),
        schema(r##"{"allOf": [{"$ref": "#"}]}"##.to_owned()),
        schema(
            r##"{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "$ref": "#/$defs/a"}"##
                .to_owned(),
        ),
        schema(format!(r#"{{"allOf": [{}]}}"#, product.join(","))),
        schema(
            r#"{"type": "array", "minItems": 9999, "maxItems": 10000, "items":
            {"type": "array", "minItems": 9999, "items": {"type": "string", "minLength": 9999}}}"#
                .to_owned(),
        ),
        schema(r#"{"type": "string", "pattern": "(a{1000}b{1000}){1000}"}"#.to_owned()),
        schema(r#"{"type": "number", "multipleOf": 0.0000001}"#.to_owned()),
        schema(r#"{"type": "object", "x-guidance": {"whitespace_pattern": "("}}"#.to_owned()),
        Constraint::Regex("((a{0,200}){0,200}){0,200}".to_owned()),
        Constraint::Regex("(.*a.{12}b.*){20}".to_owned()),
        Constraint::Regex(format!("{}a{}", "(".repeat(2_000), ")".repeat(2_000))),
        Constraint::Regex("a/\nother: \"b\"".to_owned()),
    ];
    let grammars = grammars();
    for constraint in cases {
        let Ok(mut rule) = grammars.rule(&constraint) else {
            continue;
        };
        // Whatever can follow, for a while: a rule that becomes too complex
        // says so.
        for _ in 0..40 {
            let mut logits: Vec<f32> = (0..grammars.tokenizer.size())
                .map(|token| (token * 7919 % 263) as f32)
                .collect();
            if rule.restrict(&mut logits).is_err() {
                break;
            }
            let best = (0u32..)
                .zip(&logits)
                .max_by(|a, b| a.1.total_cmp(b.1))
                .map_or(0, |(token, _)| token);
            if grammars.tokenizer.is_end(best) || rule.take(best).unwrap_or(true) {
                break;
            }
        }
    }
}
