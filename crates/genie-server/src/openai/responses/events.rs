//! A response as server-sent events.

use axum::response::sse::Event;
use serde_json::{Value, json};

use super::body::{Told, part};
use crate::answer::json_event;
use crate::failure::Failure;
use crate::wire::AnswerBody;
use crate::work::Piece;

/// Turns the pieces of an answer into the events that OpenAI's clients expect,
/// numbered one after the other.
pub(super) struct Events {
    told: Told,
    next: u64,
    has_begun: bool,
    events: Vec<Event>,
}

impl Events {
    pub(super) fn new(told: Told) -> Self {
        Self {
            told,
            next: 0,
            has_begun: false,
            events: Vec::new(),
        }
    }

    pub(super) fn of(&mut self, piece: Piece) -> Vec<Event> {
        match piece {
            Piece::Sources(_) => self.open(),
            Piece::Delta(text) => self.in_part(
                "response.output_text.delta",
                json!({"delta": text, "logprobs": []}),
            ),
            Piece::Done(answer) => {
                let results = self.told.results(&answer);
                self.told.frame = self.told.frame_of(&answer);
                self.close(&AnswerBody::from(&*answer), results);
            }
            Piece::Failed(failure) => self.fail(&failure),
        }
        std::mem::take(&mut self.events)
    }

    fn begin(&mut self) {
        self.has_begun = true;
        let response = self.told.begun();
        self.push("response.created", json!({"response": response}));
        self.push("response.in_progress", json!({"response": response}));
    }

    /// What comes before the text.
    fn open(&mut self) {
        self.begin();
        if let Some(item) = self.told.search("in_progress", None) {
            let id = item["id"].clone();
            self.push(
                "response.output_item.added",
                json!({"output_index": 0, "item": item}),
            );
            for step in ["in_progress", "searching", "completed"] {
                self.push(
                    &format!("response.file_search_call.{step}"),
                    json!({"output_index": 0, "item_id": id}),
                );
            }
        }
        let item = self.told.message("in_progress", Vec::new());
        self.push(
            "response.output_item.added",
            json!({"output_index": self.place(), "item": item}),
        );
        self.in_part(
            "response.content_part.added",
            json!({"part": part("", Vec::new())}),
        );
    }

    /// What comes behind the text. Only now is it known what it cites.
    fn close(&mut self, answer: &AnswerBody, results: Option<Value>) {
        let annotations = self.told.annotations(answer);
        for (index, annotation) in annotations.into_iter().enumerate() {
            self.in_part(
                "response.output_text.annotation.added",
                json!({"annotation_index": index, "annotation": annotation}),
            );
        }
        self.in_part(
            "response.output_text.done",
            json!({"text": answer.answer, "logprobs": []}),
        );
        let part = self.told.part(answer);
        self.in_part("response.content_part.done", json!({"part": part}));
        // The search was over before the text, but its results are told here,
        // with the answer that has them.
        if let Some(item) = self.told.search("completed", results.clone()) {
            self.push(
                "response.output_item.done",
                json!({"output_index": 0, "item": item}),
            );
        }
        let item = self.told.message("completed", vec![part]);
        self.push(
            "response.output_item.done",
            json!({"output_index": self.place(), "item": item}),
        );
        let end = if self.told.is_cut(answer) {
            "response.incomplete"
        } else {
            "response.completed"
        };
        let response = self.told.whole(answer, results);
        self.push(end, json!({"response": response}));
    }

    fn fail(&mut self, failure: &Failure) {
        if !self.has_begun {
            self.begin();
        }
        let response = self.told.failed(failure);
        self.push("response.failed", json!({"response": response}));
    }

    /// The message's place among the items.
    fn place(&self) -> usize {
        usize::from(self.told.frame.search.is_some())
    }

    /// An event about the one part of the message.
    fn in_part(&mut self, kind: &str, mut body: Value) {
        body["item_id"] = json!(self.told.message_id());
        body["output_index"] = json!(self.place());
        body["content_index"] = json!(0);
        self.push(kind, body);
    }

    fn push(&mut self, kind: &str, mut body: Value) {
        body["type"] = json!(kind);
        body["sequence_number"] = json!(self.next);
        self.next += 1;
        self.events.push(json_event(Some(kind), &body));
    }
}
