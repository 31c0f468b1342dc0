//! Changes to the OPA side that tests make while the sandbox runs.
//!
//! The first part is what happens to people over time; the second is what the service does to its
//! own answers.

use std::collections::HashMap;
use std::time::Duration;

use crate::sandbox::{
    ChangeError, DefaultListing, LastPage, OpaRefusal, PersonSeed, StatsAnswer, Team, Visibility,
};

/// What happens to people.
impl Team {
    /// Sets the status `DISABLED`; the details stay.
    pub fn disable(&self, name: &str) -> Result<(), ChangeError> {
        self.set_status(name, "DISABLED")
    }

    /// Sets the status `ACTIVE`.
    pub fn enable(&self, name: &str) -> Result<(), ChangeError> {
        self.set_status(name, "ACTIVE")
    }

    /// Sets the status `DELETED`; the record stays, with its details.
    pub fn delete(&self, name: &str) -> Result<(), ChangeError> {
        self.set_status(name, "DELETED")
    }

    /// Brings somebody back as the rule has it: the same record, same id and name, ACTIVE again.
    /// Its details are what they were when it was deleted.
    pub fn rehire(&self, name: &str) -> Result<(), ChangeError> {
        self.set_status(name, "ACTIVE")
    }

    /// Brings somebody back as the exception has it: the record is DELETED, and a new one with
    /// `new_name` and a fresh id is ACTIVE, in the same groups. The new record has `email`, or the
    /// address of the former one for `None`. Gives back the new id.
    ///
    /// After [`Team::rename_address`], with the new address, this is somebody who was renamed and
    /// then re-created.
    pub fn recreate(
        &self,
        name: &str,
        new_name: &str,
        email: Option<&str>,
    ) -> Result<String, ChangeError> {
        let former = self.person(name);
        let former = former.ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
        let id = self.add_person(PersonSeed {
            id: None,
            name: new_name.to_owned(),
            email: email.map(str::to_owned).or(former.email),
            first_name: former.first_name,
            last_name: former.last_name,
            status: "ACTIVE".to_owned(),
            kind: former.kind,
            groups: self.groups_of(name),
        })?;
        self.delete(name)?;
        Ok(id)
    }

    /// Renames somebody: the address changes (or goes, for `None`), the record keeps id and name.
    pub fn rename_address(&self, name: &str, email: Option<&str>) -> Result<(), ChangeError> {
        self.edit(name, |person| person.email = email.map(str::to_owned))
    }

    /// Empties a record's details: no address, no first and no last name. The status stays.
    pub fn clear_details(&self, name: &str) -> Result<(), ChangeError> {
        self.edit(name, |person| {
            person.email = None;
            person.first_name = None;
            person.last_name = None;
        })
    }

    /// Passes a mailbox on: the record `to` gets the address of the record `from`. The record
    /// `from` keeps it too, as records of people who left do; an ACTIVE `from` makes two ACTIVE
    /// records with one address.
    pub fn pass_address_on(&self, from: &str, to: &str) -> Result<(), ChangeError> {
        let former = self.person(from);
        let former = former.ok_or_else(|| ChangeError::Unknown(from.to_owned()))?;
        self.edit(to, |person| person.email = former.email)
    }

    /// Shows a record in listings and counts it, or not; see [`Visibility`].
    pub fn set_visibility(&self, name: &str, visibility: Visibility) -> Result<(), ChangeError> {
        self.edit(name, |person| person.visibility = visibility)
    }

    /// Takes a record away without a trace, as no administrator can; its name stays used, and
    /// cursors that point at it stay good.
    pub fn purge(&self, name: &str) -> Result<(), ChangeError> {
        let mut state = self.change();
        let index = state.index(name)?;
        for group in state.memberships.remove(&index).unwrap_or_default() {
            if let Some(group) = state.groups.get_mut(group) {
                group.members.remove(&index);
            }
        }
        state.twice.remove(&index);
        if let Some(slot) = state.people.get_mut(index) {
            *slot = None;
        }
        Ok(())
    }

    /// The live groups a person is in, sorted.
    pub fn groups_of(&self, name: &str) -> Vec<String> {
        let state = self.lock();
        let index = state.by_name.get(name);
        let groups = index.and_then(|index| state.memberships.get(index));
        let mut names: Vec<String> = groups
            .into_iter()
            .flatten()
            .filter_map(|group| state.group(*group))
            .filter(|group| group.deleted_at.is_none())
            .map(|group| group.name.clone())
            .collect();
        names.sort();
        names
    }

    /// Puts a person into a group, which is made if need be.
    pub fn join(&self, name: &str, group: &str) -> Result<(), ChangeError> {
        let mut state = self.change();
        let index = state.index(name)?;
        let group = state.group_or_new(group);
        state.enrol(index, group);
        Ok(())
    }

    /// Takes a person out of a group.
    pub fn leave(&self, name: &str, group: &str) -> Result<(), ChangeError> {
        let mut state = self.change();
        let index = state.index(name)?;
        let group_index = (state.group_by_name.get(group).copied())
            .ok_or_else(|| ChangeError::Unknown(group.to_owned()))?;
        if let Some(group) = state.groups.get_mut(group_index) {
            group.members.remove(&index);
        }
        if let Some(groups) = state.memberships.get_mut(&index) {
            groups.retain(|other| *other != group_index);
        }
        Ok(())
    }

    /// Takes every person and every group away, as a broken server might.
    pub fn empty(&self) {
        let mut state = self.change();
        state.people.clear();
        state.by_name.clear();
        state.by_id.clear();
        state.shared_ids.clear();
        state.twice.clear();
        state.groups.clear();
        state.group_by_name.clear();
        state.memberships = HashMap::new();
    }
}

/// What the service does.
impl Team {
    /// Chooses what `GET /users` shows without a `status`.
    pub fn default_listing(&self, listing: DefaultListing) {
        self.change().default_listing = listing;
    }

    /// Cuts listings short: the page before the last one of `GET /users` has no `Link`, so that
    /// nobody asks for the last one. A listing of one page stays whole; see [`Team::page_limit`].
    pub fn drop_last_link(&self) {
        self.change().last_page = LastPage::Unlinked;
    }

    /// Undoes [`Team::drop_last_link`].
    pub fn restore_last_link(&self) {
        self.change().last_page = LastPage::Linked;
    }

    /// Chooses what `GET /team_stats` answers.
    pub fn team_stats(&self, answer: StatsAnswer) {
        self.change().stats = answer;
    }

    /// Refuses every call but minting in this way; `None`: answers them again.
    pub fn refuse(&self, refusal: Option<OpaRefusal>) {
        self.change().refusal = refusal;
    }

    /// How long tokens are good for from now on.
    pub fn token_ttl(&self, ttl: Duration) {
        self.lock().token_ttl = ttl;
    }

    /// Makes every token given out so far worthless.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.clear();
    }

    /// A token as `service_token` gives it.
    pub fn issue_token(&self) -> String {
        self.mint().0
    }

    /// Lets minted tokens name another team.
    pub fn answer_as_team(&self, name: &str) {
        self.lock().answered_name = Some(name.to_owned());
    }

    /// Replaces the key secret; the former one is refused from now on.
    pub fn rotate_key(&self, key_secret: &str) {
        key_secret.clone_into(&mut self.lock().key_secret);
    }
}
