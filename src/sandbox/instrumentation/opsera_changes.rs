//! Changes to the Opsera side that tests make while the sandbox runs.

use crate::domain::time::Timestamp;
use crate::sandbox::identifiers::personal_access_token;
use crate::sandbox::{Accounts, AnswerShape, ChangeError, ScimAnswer, SiteRoleField, TokenScope};

impl Accounts {
    /// Sets the site role, as an administrator does in the browser.
    pub fn set_role(&self, id_or_email: &str, site_role: &str) -> Result<(), ChangeError> {
        self.edit(id_or_email, |a| site_role.clone_into(&mut a.site_role))
    }

    /// The `_id` of every account that was deactivated through the API, in order.
    pub fn deactivations(&self) -> Vec<String> {
        self.lock().deactivations.clone()
    }

    /// Leaves an active account out of the listing; reading and searching find it, and SCIM counts
    /// it. With the token's owner this is the listing that guard G0 refuses.
    pub fn omit_from_listing(&self, id_or_email: &str) -> Result<(), ChangeError> {
        let account = self.get(id_or_email);
        let account = account.ok_or_else(|| ChangeError::Unknown(id_or_email.to_owned()))?;
        let mut state = self.lock();
        state.listing = None;
        state.omitted.insert(account.id);
        Ok(())
    }

    /// Undoes every [`Accounts::omit_from_listing`].
    pub fn omit_nobody(&self) {
        let mut state = self.lock();
        state.listing = None;
        state.omitted.clear();
    }

    /// Lets the listing show the first `accounts` active accounts alone; `None`: all of them. SCIM
    /// goes on counting every active account.
    pub fn shrink_listing(&self, accounts: Option<usize>) {
        let mut state = self.lock();
        state.listing = None;
        state.listing_limit = accounts;
    }

    /// Chooses what the SCIM listing answers.
    pub fn scim(&self, answer: ScimAnswer) {
        self.lock().scim = answer;
    }

    /// Lets records carry the site role, or not.
    pub fn report_site_role(&self, field: SiteRoleField) {
        let mut state = self.lock();
        state.listing = None;
        state.site_role_field = field;
    }

    /// Fixes the shape of answers to writes.
    pub fn answer_shape(&self, shape: AnswerShape) {
        self.lock().shape = shape;
    }

    /// Limits what the token may do.
    pub fn token_scope(&self, scope: TokenScope) {
        self.lock().scope = scope;
    }

    /// Replaces the token; the former one is refused from now on.
    pub fn rotate_token(&self, token: &str) {
        token.clone_into(&mut self.lock().token);
    }

    /// Replaces the token by a JWT with this `exp`, which holds here as well, and gives it back.
    pub fn issue_token(&self, expires_at: Timestamp) -> String {
        let now = self.clock.now();
        let mut state = self.lock();
        let token = personal_access_token(&mut state.rng, now, expires_at);
        state.token.clone_from(&token);
        state.token_expires_at = expires_at;
        token
    }

    /// Lets the token expire now, whatever its `exp` says: every call is answered with 403.
    pub fn expire_token(&self) {
        let now = self.clock.now();
        self.lock().token_expires_at = now;
    }
}
