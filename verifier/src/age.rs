//! "At least so old", whichever way a credential says it: `age_equal_or_over` (an object of ages, as in the EU's
//! person identification data), `age_over_NN` (ISO/IEC 18013-5 section 7.2.5), or a date of birth (`birthdate` of
//! OpenID Connect Core 1.0 section 5.1, `birth_date` of ISO/IEC 18013-5).
//!
//! Only what the issuer says in so many words counts: the value `true` for the age itself or for a higher one that the
//! policy names. A lower age never does, and an age is worked out of a birth date only where the policy allows asking
//! for it. Days are those of UTC. Who was born on 29 February comes of age on 1 March of a year that is no leap year.
use crate::date::Date;
use crate::dcql::{ClaimsQuery, Format, PathElement};
use crate::time::Timestamp;
use serde_json::{Map, Value};

const BIRTH_DATES: [&str; 2] = ["birthdate", "birth_date"];

/// A lowest age, and which claims prove it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgePolicy {
    /// The age in years.
    pub at_least: u8,
    /// Higher ages whose claims do as well. One that is not higher is passed over.
    pub higher: Vec<u8>,
    /// Whether a birth date may be asked for, last of all.
    pub birth_date: bool,
}

impl AgePolicy {
    /// Whether it can be asked for: an age between 1 and 150, and at most eight others, all of them higher.
    ///
    /// # Errors
    /// The member that is wrong, by its path, and why.
    pub fn check(&self) -> Result<(), (&'static [&'static str], &'static str)> {
        if !(1..=150).contains(&self.at_least) || self.higher.iter().any(|higher| *higher <= self.at_least) {
            return Err((&["age"], "`at_least` is between 1 and 150, and `higher` has higher ages only"));
        }
        if self.higher.len() > 8 { Err((&["age", "higher"], "8 at most")) } else { Ok(()) }
    }

    /// The claims to ask for, and the sets of them that do, the least telling first: for [`CredentialQuery::claims`]
    /// and [`CredentialQuery::claim_sets`].
    ///
    /// [`CredentialQuery::claims`]: crate::dcql::CredentialQuery::claims
    /// [`CredentialQuery::claim_sets`]: crate::dcql::CredentialQuery::claim_sets
    pub fn claims(&self, format: &Format) -> (Vec<ClaimsQuery>, Vec<Vec<String>>) {
        let mut claims = Vec::new();
        for age in self.ages() {
            let (nested, flat) = (age.to_string(), format!("age_over_{age}"));
            let equal_or_over = vec!["age_equal_or_over".to_owned(), nested];
            claims.push(query(format, &format!("age_equal_or_over_{age}"), equal_or_over, Some(true.into())));
            claims.push(query(format, &flat, vec![flat.clone()], Some(true.into())));
        }
        if self.birth_date {
            claims.extend(BIRTH_DATES.map(|name| query(format, name, vec![name.to_owned()], None)));
        }
        let sets = claims.iter().filter_map(|claim| claim.id.clone()).map(|id| vec![id]).collect();
        (claims, sets)
    }

    /// Whether the claims (the processed payload of an SD-JWT VC, the credential of a JWT VC) prove the age on the UTC
    /// day of `today`.
    pub fn satisfied(&self, format: &Format, claims: &Map<String, Value>, today: Timestamp) -> bool {
        let Some(claims) = prefix(format).iter().try_fold(claims, |at, name| at.get(*name)?.as_object()) else {
            return false;
        };
        let said = |age: u8| {
            let nested = claims.get("age_equal_or_over").and_then(|ages| ages.as_object()?.get(&age.to_string()));
            let flat = claims.get(&format!("age_over_{age}"));
            [nested, flat].contains(&Some(&Value::Bool(true)))
        };
        self.ages().into_iter().any(said) || (self.birth_date && self.born_early_enough(claims, today))
    }

    /// The age itself, then the higher ones that do, each once and in order.
    fn ages(&self) -> Vec<u8> {
        (self.at_least..=u8::MAX).filter(|age| *age == self.at_least || self.higher.contains(age)).collect()
    }

    /// Whether every birth date that is there says so, and one is there.
    fn born_early_enough(&self, claims: &Map<String, Value>, today: Timestamp) -> bool {
        let today = Date::of(today);
        let mut dates = BIRTH_DATES.iter().filter_map(|name| claims.get(*name)).peekable();
        dates.peek().is_some()
            && dates.all(|date| {
                date.as_str()
                    .and_then(Date::parse)
                    .is_some_and(|born| born.years_until(today) >= i64::from(self.at_least) && born <= today)
            })
    }
}

/// Where the claims about the person are (OpenID4VP 1.0 appendix B.1.2: paths start at the root of the credential).
fn prefix(format: &Format) -> &'static [&'static str] {
    match format {
        Format::JwtVcJson => &["credentialSubject"],
        Format::DcSdJwt | Format::Other(_) => &[],
    }
}

fn query(format: &Format, id: &str, names: Vec<String>, value: Option<Value>) -> ClaimsQuery {
    let path = prefix(format).iter().map(|name| (*name).to_owned()).chain(names).map(PathElement::Name).collect();
    ClaimsQuery { id: Some(id.to_owned()), path, values: value.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SD: Format = Format::DcSdJwt;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn date(text: &str) -> Date {
        Date::parse(text).unwrap()
    }

    fn policy(at_least: u8, higher: &[u8], birth_date: bool) -> AgePolicy {
        AgePolicy { at_least, higher: higher.to_vec(), birth_date }
    }

    /// 2026-11-22T00:00:00Z
    const TODAY: Timestamp = Timestamp::from_unix(1_795_305_600);

    #[test]
    fn days_of_utc() {
        for (unix, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_795_305_599, "2026-11-21"),
            (1_795_305_600, "2026-11-22"),
            (4_107_542_400, "2100-03-01"),
            (-2_203_891_200, "1900-03-01"),
        ] {
            assert_eq!(Date::of(Timestamp::from_unix(unix)), date(text), "{unix}");
        }
        // no time makes it panic
        let _ = (Date::of(Timestamp::from_unix(i64::MAX)), Date::of(Timestamp::from_unix(i64::MIN)));
    }

    #[test]
    fn only_true_for_the_age_itself_or_a_higher_one_that_is_named() {
        let plain = policy(21, &[], false);
        for yes in [json!({"age_equal_or_over": {"21": true}}), json!({"age_over_21": true})] {
            assert!(plain.satisfied(&SD, &object(yes.clone()), TODAY), "{yes}");
        }
        for no in [
            json!({}),
            json!({"age_equal_or_over": {"21": "true"}}),
            json!({"age_equal_or_over": {"21": 1}}),
            json!({"age_equal_or_over": {"21": false, "18": true}}),
            json!({"age_equal_or_over": true}),
            json!({"age_equal_or_over.21": true}),
            json!({"age_over_21": "yes", "age_over_18": true}),
            json!({"age_over_65": true, "age_equal_or_over": {"65": true}}),
            json!({"age_over_021": true}),
            json!({"birthdate": "1950-01-01", "birth_date": "1950-01-01", "age_in_years": 76}),
            json!({"credentialSubject": {"age_over_21": true}}),
        ] {
            assert!(!plain.satisfied(&SD, &object(no.clone()), TODAY), "{no}");
        }
        let higher = policy(21, &[65, 18], false);
        assert!(higher.satisfied(&SD, &object(json!({"age_over_65": true})), TODAY));
        assert!(!higher.satisfied(&SD, &object(json!({"age_over_18": true, "age_over_66": true})), TODAY));
    }

    #[test]
    fn birth_dates_to_the_day() {
        let policy = policy(21, &[], true);
        let born = |value: Value| policy.satisfied(&SD, &object(json!({ "birthdate": value })), TODAY);
        assert!(born("2005-11-22".into()) && born("1900-01-01".into()) && born("2004-02-29".into()));
        for no in [
            json!("2005-11-23"),
            json!("2026-11-23"),
            json!("9999-01-01"),
            json!("0000-01-01"),
            json!("1990"),
            json!("1990-02-29"),
            json!("1990-13-01"),
            json!("1990-1-1"),
            json!("1990-01-01T00:00:00Z"),
            json!(" 1990-01-01"),
            json!("+990-01-01"),
            json!(19_900_101),
            json!(null),
        ] {
            assert!(!born(no.clone()), "{no}");
        }
        // both names, one too young
        assert!(!policy.satisfied(&SD, &object(json!({"birthdate": "1990-01-01", "birth_date": "2010-01-01"})), TODAY));
        // 29 February: of age on 1 March
        assert_eq!(date("2004-02-29").years_until(date("2025-02-28")), 20);
        assert_eq!(date("2004-02-29").years_until(date("2025-03-01")), 21);
        assert_eq!(date("2004-02-29").years_until(date("2024-02-29")), 20);
    }

    #[test]
    fn claims_to_ask_for() {
        let (claims, sets) = policy(21, &[65], true).claims(&Format::JwtVcJson);
        let ids =
            ["age_equal_or_over_21", "age_over_21", "age_equal_or_over_65", "age_over_65", "birthdate", "birth_date"];
        assert_eq!(sets, ids.map(|id| vec![id.to_owned()]));
        assert_eq!(claims.iter().filter_map(|claim| claim.id.as_deref()).collect::<Vec<_>>(), ids);
        let names = ["credentialSubject", "age_equal_or_over", "21"].map(|name| PathElement::Name(name.to_owned()));
        assert_eq!(claims.first().unwrap().path, names);
        assert_eq!(claims.first().unwrap().values, [json!(true)]);
        assert!(claims.last().unwrap().values.is_empty());
        assert_eq!(policy(18, &[], false).claims(&SD).0.len(), 2);
        let clerk = object(json!({"credentialSubject": {"age_equal_or_over": {"21": true}}}));
        assert!(policy(21, &[], false).satisfied(&Format::JwtVcJson, &clerk, TODAY));
    }

    proptest! {
        /// Threat 40 for ages: whatever lower ages a credential states, and whatever is missing, they prove nothing.
        #[test]
        fn threat_40_a_lower_age_never_proves_a_higher_one(
            at_least in 1u8..=120,
            lower in proptest::collection::vec(any::<u8>(), 0..8),
            higher in proptest::collection::vec(any::<u8>(), 0..4),
            also_false: bool,
        ) {
            let mut ages = Map::new();
            let mut claims = Map::new();
            for age in lower.iter().map(|age| age % at_least) {
                ages.insert(age.to_string(), true.into());
                claims.insert(format!("age_over_{age}"), true.into());
            }
            if also_false {
                ages.insert(at_least.to_string(), false.into());
            }
            claims.insert("age_equal_or_over".to_owned(), ages.into());
            prop_assert!(!policy(at_least, &higher, true).satisfied(&SD, &claims, TODAY));
        }

        /// What is asked for is what proves: each claim alone, with the value that was asked for.
        #[test]
        fn each_claim_that_is_asked_for_proves_it(at_least: u8, higher in proptest::collection::vec(any::<u8>(), 0..4)) {
            let policy = policy(at_least, &higher, false);
            for claim in policy.claims(&SD).0 {
                let mut value = json!(true);
                for element in claim.path.iter().rev() {
                    let PathElement::Name(name) = element else { panic!() };
                    value = json!({ name: value });
                }
                prop_assert!(policy.satisfied(&SD, &object(value), TODAY));
            }
        }

        /// Calendar arithmetic agrees with counting years on the calendar.
        #[test]
        fn the_day_of_age_and_the_day_before(year in 1i64..=2000, month in 1i64..=12, day in 1i64..=28, age in 1u8..=99) {
            let born = Date { year, month, day };
            let birthday = Date { year: year + i64::from(age), ..born };
            prop_assert_eq!(born.years_until(birthday), i64::from(age));
            let eve = if day > 1 { Date { day: day - 1, ..birthday } }
                else if month > 1 { Date { day: 28, month: month - 1, ..birthday } }
                else { Date { year: birthday.year - 1, month: 12, day: 31 } };
            prop_assert_eq!(born.years_until(eve), i64::from(age) - 1);
        }
    }
}
