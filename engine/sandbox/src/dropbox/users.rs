//! The account itself: who it is and how much it holds.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Dropbox;
use super::call::Call;
use super::error::ApiError;
use super::wire::tag;
use crate::blob::lock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    #[serde(default)]
    query: String,
}

impl Dropbox {
    /// `check/user`
    pub(super) fn check_user(&self, call: &Call) -> Result<Value, ApiError> {
        let Echo { query } = call.arg()?;
        Ok(json!({ "result": query }))
    }

    /// `users/get_current_account`
    pub(super) fn get_current_account(&self, call: &Call) -> Result<Value, ApiError> {
        call.void()?;
        let state = lock(&self.state);
        let team = self.options.team_home.is_some();
        let mut account = json!({
            "account_id": state.ids.account(),
            "account_type": tag(match (team, self.options.basic_plan) {
                (true, _) => "business",
                (false, true) => "basic",
                (false, false) => "pro",
            }),
            "country": "DE",
            "disabled": false,
            "email": "sandbox@example.com",
            "email_verified": true,
            "is_paired": false,
            "locale": "en",
            "name": {
                "abbreviated_name": "SA",
                "display_name": "Sandbox Account",
                "familiar_name": "Sandbox",
                "given_name": "Sandbox",
                "surname": "Account",
            },
            "referral_link": "https://www.dropbox.com/referrals/sandbox",
            "root_info": self.root_info(),
        });
        if team {
            account["team_member_id"] = format!("dbmid:{}", state.ids.secret("member", 0)).into();
        }
        Ok(account)
    }

    /// `users/get_space_usage`
    pub(super) fn get_space_usage(&self, call: &Call) -> Result<Value, ApiError> {
        call.void()?;
        let used = lock(&self.state).used;
        Ok(json!({
            "allocation": {".tag": "individual", "allocated": self.options.quota_bytes},
            "used": used,
        }))
    }
}
