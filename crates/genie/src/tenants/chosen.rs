//! The language models that workspaces choose beside the installation's.

use std::sync::{Arc, PoisonError, TryLockError};

use genie_core::Generate;
use genie_server::ChosenModel;
use genie_state::Workspace;

use super::Tenants;

impl Tenants {
    /// The language model that a workspace has chosen, loaded where it is not
    /// yet, or that of the installation. Blocks.
    pub(super) fn model(&self, workspace: &Workspace) -> Option<Arc<dyn Generate>> {
        let usual = self.generate.clone();
        let Some(name) = &workspace.settings.model else {
            return usual;
        };
        if self.config.chat_model.as_ref() == Some(name) {
            return usual;
        }
        if !self.config.chat_models.contains(name) {
            tracing::warn!(
                model = name,
                workspace = %workspace.id,
                "the workspace's model is not offered any more: add it to chat_models, or take \
                 another one with `genie workspace set`"
            );
            return usual;
        }
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let model = chosen.entry(name.clone()).or_insert_with(|| {
            self.installed
                .load(name)
                .inspect_err(|error| {
                    tracing::warn!(
                        model = name,
                        %error,
                        "a workspace's model can't be loaded; it is tried again after a restart"
                    );
                })
                .ok()
        });
        let running = model.clone().filter(|model| model.is_running());
        running.or(usual)
    }

    /// How such a model is, without loading it or waiting for one that is
    /// being loaded.
    pub(super) fn how_is(&self, name: &str) -> ChosenModel {
        let of = |model: &Arc<dyn Generate>| match model.is_running() {
            true => ChosenModel::Loaded,
            false => ChosenModel::Failed,
        };
        if !self.config.offered_models().any(|offered| offered == name) {
            return ChosenModel::Missing;
        }
        if self.config.chat_model.as_deref() == Some(name) {
            return self.generate.as_ref().map_or(ChosenModel::Failed, of);
        }
        let found = match self.chosen.try_lock() {
            Ok(chosen) => chosen.get(name).cloned(),
            Err(TryLockError::Poisoned(chosen)) => chosen.into_inner().get(name).cloned(),
            // One of them is being loaded, which takes a while.
            Err(TryLockError::WouldBlock) => None,
        };
        match found {
            Some(Some(model)) => of(&model),
            Some(None) => ChosenModel::Failed,
            None if self.installed.has(name) => ChosenModel::Installed,
            None => ChosenModel::Missing,
        }
    }
}
