//! A language model that says what it is told.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use genie_core::{
    ChoiceRequest, Constraint, ContentHash, FinishReason, Generate, GenerateError, GenerateRequest,
    Generation, ModelInfo, TokenWeight, Usage,
};

/// Streams scripted answers, one a request, word by word.
#[derive(Debug)]
pub struct FakeGenerate {
    model: ModelInfo,
    answers: Mutex<VecDeque<String>>,
    choices: Mutex<VecDeque<Vec<f32>>>,
    seen: Mutex<Vec<GenerateRequest>>,
}

impl FakeGenerate {
    /// A model without a script: it answers with the empty text, and is sure
    /// of the first choice.
    #[must_use]
    pub fn new() -> Self {
        Self {
            model: ModelInfo {
                name: "fake-chat".to_owned(),
                hash: ContentHash::of(b"fake-chat"),
                context_length: 4096,
            },
            answers: Mutex::default(),
            choices: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Adds the answer to the next request that has none yet.
    #[must_use]
    pub fn answering(self, text: &str) -> Self {
        lock(&self.answers).push_back(text.to_owned());
        self
    }

    /// Adds the log-probabilities for the next choice that has none yet.
    #[must_use]
    pub fn choosing(self, log_probabilities: &[f32]) -> Self {
        lock(&self.choices).push_back(log_probabilities.to_vec());
        self
    }

    /// The requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<GenerateRequest> {
        lock(&self.seen).clone()
    }
}

impl Default for FakeGenerate {
    fn default() -> Self {
        Self::new()
    }
}

impl Generate for FakeGenerate {
    fn model(&self) -> &ModelInfo {
        &self.model
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }

    /// Takes every form, and keeps to none: a script is a script.
    fn check(&self, _form: &Constraint) -> Result<(), GenerateError> {
        Ok(())
    }

    fn generate(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        self.generate_weighed(request, &mut |piece, _| on_piece(piece))
    }

    /// Each word is a token, and each as probable as the others.
    fn generate_weighed(
        &self,
        request: GenerateRequest,
        on_piece: &mut dyn FnMut(&str, &[TokenWeight]) -> ControlFlow<()>,
    ) -> Result<Generation, GenerateError> {
        let weighs = request.weights.is_some();
        let prompt_tokens = request
            .messages
            .iter()
            .map(|message| self.count_tokens(&message.content))
            .sum();
        lock(&self.seen).push(request);
        let answer = lock(&self.answers).pop_front().unwrap_or_default();
        let mut generation = Generation {
            text: String::new(),
            finish: FinishReason::Stop,
            usage: Usage {
                prompt_tokens,
                completion_tokens: 0,
            },
            first_token: Duration::ZERO,
            weights: Vec::new(),
            ruling: Duration::ZERO,
        };
        for piece in answer.split_inclusive(' ') {
            generation.text.push_str(piece);
            generation.usage.completion_tokens += 1;
            let told = generation.weights.len();
            if weighs {
                generation.weights.push(TokenWeight {
                    bytes: piece.as_bytes().to_vec(),
                    log_probability: -0.5,
                    best: Vec::new(),
                });
            }
            if on_piece(piece, &generation.weights[told..]).is_break() {
                generation.finish = FinishReason::Cancelled;
                break;
            }
        }
        Ok(generation)
    }

    fn choose_while(
        &self,
        request: ChoiceRequest,
        on_wait: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Vec<f32>, GenerateError> {
        if on_wait().is_break() {
            return Err(GenerateError::Cancelled);
        }
        let sure = |index| if index == 0 { -0.01 } else { -5.0 };
        Ok(lock(&self.choices)
            .pop_front()
            .unwrap_or_else(|| (0..request.choices.len()).map(sure).collect()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
