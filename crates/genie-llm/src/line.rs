//! Those who wait for a slot, and whose turn it is.

use std::collections::{HashMap, HashSet, VecDeque};

use genie_core::Tenant;

use crate::job::Job;

/// Jobs that are looked at when a slot is free, more than wait anywhere but
/// where an administrator has set a longer queue. Who may wait at all is
/// decided before ([`crate::admission::Waiting`]); where more do, the rest
/// stays in the queue, in its order.
const LOOKED_AT: usize = 1024;

/// Jobs in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Line {
    jobs: VecDeque<Job>,
    /// When a tenant's last job was taken, counted in jobs.
    taken: HashMap<Tenant, u64>,
    clock: u64,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.jobs.len() < LOOKED_AT
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.jobs.push_back(job);
    }

    /// Drops whoever does not wait any more, and forgets tenants that neither
    /// wait nor satisfy `has_some`.
    pub(crate) fn forget(&mut self, has_some: impl Fn(&Tenant) -> bool) {
        self.jobs.retain(|job| !job.has_left());
        let waiting: HashSet<&Tenant> = self.jobs.iter().map(Job::tenant).collect();
        self.taken
            .retain(|tenant, _| has_some(tenant) || waiting.contains(tenant));
    }

    /// Takes the job whose turn it is where it `fits`; until it does, none
    /// overtakes it. Of all tenants it is that with the fewest in hand, of
    /// those the one that was not taken for longest, and its first.
    pub(crate) fn take(
        &mut self,
        in_hand: impl Fn(&Tenant) -> usize,
        fits: impl FnOnce(&Job) -> bool,
    ) -> Option<Job> {
        let turn = |job: &Job| {
            let tenant = job.tenant();
            (in_hand(tenant), self.taken.get(tenant).copied())
        };
        let keys = self.jobs.iter().map(turn).enumerate();
        let (index, _) = keys.min_by_key(|(index, turn)| (*turn, *index))?;
        if !fits(self.jobs.get(index)?) {
            return None;
        }
        let job = self.jobs.remove(index)?;
        self.clock += 1;
        self.taken.insert(job.tenant().clone(), self.clock);
        Some(job)
    }
}
