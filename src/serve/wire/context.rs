//! What a back end vouches for, and how it replaces what a browser says.
//!
//! A page can claim anything about its visitor. So an operator's back end, with its secret key, has
//! the customer's features signed; the page passes the token along, and what is in it stands in for
//! whatever the page says of the same things.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Budget, range};
use super::parse::Object;
use super::quick::quick_objects;
use super::scalar::{Instant, Text, Whole};
use super::validate::{customer, technician};
use super::{Care, Consent, Customer, DecisionRequest, Malformed, Technician, limits, schema};
use crate::domain;

/// Asks for a context token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct ContextRequest<'a> {
    /// Who waits.
    #[serde(borrow)]
    #[schema(value_type = Option<Customer>)]
    pub customer: Option<Object<Customer<'a>>>,
    /// Who comes, and with what.
    #[schema(value_type = Option<Technician>)]
    pub technician: Option<Object<Technician<'a>>>,
    /// For how long the token holds, in seconds; 900 if absent.
    #[schema(schema_with = schema::ttl_seconds)]
    pub ttl_seconds: Option<Whole>,
}

quick_objects! {
    ContextRequest<'a> { customer, technician, ttl_seconds }
}

/// What a context token carries, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Context<'a> {
    /// Who waits.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Object<Customer<'a>>>,
    /// Who comes, and with what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub technician: Option<Object<Technician<'a>>>,
}

/// A signed context.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ContextResponse {
    /// For the `context_token` of decisions.
    #[schema(schema_with = schema::context_token_required)]
    pub token: String,
    /// Until when it holds.
    #[schema(schema_with = schema::instant_required)]
    pub expires_at: Instant,
}

impl<'a> ContextRequest<'a> {
    /// Checks everything and tells for how many seconds the token is to hold.
    ///
    /// # Errors
    ///
    /// The first rule that is broken, naming the field.
    pub fn validate(&self) -> Result<i64, Malformed> {
        let mut budget = Budget::default();
        if let Some(told) = &self.customer {
            let any = domain::Consent {
                personalization: true,
                marketing: true,
                measurement: true,
            };
            customer(told, any, &mut budget).map_err(|e| e.within("customer"))?;
        }
        if let Some(told) = &self.technician {
            technician(told, &mut budget).map_err(|e| e.within("technician"))?;
        }
        let longest = *limits::CONTEXT_TTL_SECONDS.end();
        let told = range("ttl_seconds", self.ttl_seconds, limits::CONTEXT_TTL_SECONDS)?;
        Ok(told.unwrap_or(longest))
    }

    /// What the token is to carry.
    #[must_use]
    pub fn context(self) -> Context<'a> {
        Context {
            customer: self.customer,
            technician: self.technician,
        }
    }
}

impl<'a> DecisionRequest<'a> {
    /// Puts what a back end vouched for in place of what the page says; the caller is then trusted.
    ///
    /// Only consent and care are both: what either side withholds is withheld, and trouble that either
    /// side knows of is trouble, so that a visitor's "no" or "help" on the page counts at once.
    pub fn apply(&mut self, context: Context<'a>) {
        let told = self.customer.take().unwrap_or_default().0;
        let mut vouched = context.customer.unwrap_or_default().0;
        vouched.consent = both(told.consent, vouched.consent);
        vouched.care = either(told.care, vouched.care);
        self.customer = Some(Object(vouched));
        if let Some(appointment) = &mut self.appointment {
            appointment.0.technician = context.technician;
        }
    }

    /// The context token, if the request carries one.
    #[must_use]
    pub fn context_token(&self) -> Option<&str> {
        self.context_token.as_ref().map(Text::as_str)
    }
}

fn both(a: Option<Object<Consent>>, b: Option<Object<Consent>>) -> Option<Object<Consent>> {
    let (Some(a), Some(b)) = (a, b) else {
        return a.or(b);
    };
    let and = |a: Option<bool>, b: Option<bool>| a.zip(b).map(|(a, b)| a && b).or(a).or(b);
    Some(Object(Consent {
        personalization: and(a.personalization, b.personalization),
        marketing: and(a.marketing, b.marketing),
        measurement: and(a.measurement, b.measurement),
    }))
}

fn either(a: Option<Object<Care>>, b: Option<Object<Care>>) -> Option<Object<Care>> {
    let (Some(a), Some(b)) = (a, b) else {
        return a.or(b);
    };
    let or = |a: Option<bool>, b: Option<bool>| a.zip(b).map(|(a, b)| a || b).or(a).or(b);
    // The lower rating is the one that keeps things from being sold.
    let ratings = [a.last_rating, b.last_rating].into_iter().flatten();
    Some(Object(Care {
        open_issue: or(a.open_issue, b.open_issue),
        payment_hardship: or(a.payment_hardship, b.payment_hardship),
        last_rating: ratings.min_by_key(|rating| rating.0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::wire::parse;

    /// What becomes of the customer when a page's word and a back end's are put together.
    #[track_caller]
    fn check(page: &str, vouched: &str, expected: &str) {
        let page = format!(r#"{{"customer": {page}}}"#);
        let vouched = format!(r#"{{"customer": {vouched}}}"#);
        let mut request: DecisionRequest<'_> = parse(page.as_bytes()).expect("a request");
        let asked: ContextRequest<'_> = parse(vouched.as_bytes()).expect("a context");
        asked.validate().expect("within the limits");
        request.apply(asked.context());
        let told = serde_json::to_string(&request.customer).expect("serializes");
        assert_eq!(told, expected, "{page} {vouched}");
    }

    #[test]
    fn the_back_end_replaces_the_page() {
        check(
            r#"{"id": "me", "features": {"vip": true}, "products": ["all"]}"#,
            r#"{"id": "c-1", "features": {"tenure": 14}}"#,
            r#"{"id":"c-1","features":{"tenure":14.0}}"#,
        );
    }

    #[test]
    fn what_either_withholds_is_withheld() {
        check(
            r#"{"consent": {"personalization": false, "marketing": true}}"#,
            r#"{"consent": {"personalization": true, "measurement": false}}"#,
            r#"{"consent":{"personalization":false,"marketing":true,"measurement":false}}"#,
        );
    }

    #[test]
    fn trouble_that_either_knows_of_is_trouble() {
        check(
            r#"{"care": {"open_issue": true, "payment_hardship": false, "last_rating": 2}}"#,
            r#"{"care": {"open_issue": false, "last_rating": 5}}"#,
            r#"{"care":{"open_issue":true,"payment_hardship":false,"last_rating":2}}"#,
        );
        check(
            r#"{"care": {"open_issue": true}}"#,
            r#"{"id": "c-1"}"#,
            r#"{"id":"c-1","care":{"open_issue":true}}"#,
        );
    }

    #[test]
    fn a_token_holds_for_at_most_a_quarter_of_an_hour() {
        for (ttl, expected) in [
            ("0", None),
            ("1", Some(1)),
            ("900", Some(900)),
            ("901", None),
        ] {
            let body = format!(r#"{{"ttl_seconds": {ttl}}}"#);
            let asked: ContextRequest<'_> = parse(body.as_bytes()).expect("a context");
            assert_eq!(asked.validate().ok(), expected, "{ttl}");
        }
        assert_eq!(ContextRequest::default().validate(), Ok(900));
    }
}
