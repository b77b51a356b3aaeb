//! The people of the demo, invented, and what the motor vehicle agency knows about them. Ages stay true: birth dates are counted
//! back from today.

use serde_json::{Value, json};

/// The ages that the identity credential answers for.
pub(crate) const THRESHOLDS: [u8; 3] = [18, 21, 65];

/// Somebody who can be issued a credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// Its name in forms.
    pub(crate) id: &'static str,
    /// Its given name.
    pub(crate) given_name: &'static str,
    /// Its family name.
    pub(crate) family_name: &'static str,
    /// Its age in years.
    pub(crate) age: u8,
    street: &'static str,
    locality: &'static str,
    postal_code: &'static str,
}

/// Everybody.
pub(crate) const PEOPLE: [Person; 3] = [
    Person {
        id: "ada",
        given_name: "Ada",
        family_name: "Marlowe",
        age: 36,
        street: "17 Quincewood Lane",
        locality: "Harrowgate Springs",
        postal_code: "AR-95443",
    },
    Person {
        id: "ben",
        given_name: "Ben",
        family_name: "Tindall",
        age: 19,
        street: "4 Saltmarsh Row",
        locality: "Pellworth",
        postal_code: "AR-95471",
    },
    Person {
        id: "grace",
        given_name: "Grace",
        family_name: "Okonjo",
        age: 70,
        street: "230 Juniper Crescent",
        locality: "Harrowgate Springs",
        postal_code: "AR-95443",
    },
];

impl Person {
    /// Looks somebody up by the name in forms.
    pub(crate) fn find(id: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|person| person.id == id)
    }

    /// Given and family name.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// Its address at the identity provider.
    pub(crate) fn email(&self) -> String {
        format!("{}@accounts.example", self.id)
    }

    /// The claims about the person, by the names of OpenID Connect Core 1.0 section 5.1 and, for ages, of SD-JWT VC's examples.
    /// `now` is in seconds since 1970.
    pub(crate) fn claims(&self, now: i64) -> Value {
        let ages: serde_json::Map<String, Value> =
            THRESHOLDS.iter().map(|years| (years.to_string(), json!(self.age >= *years))).collect();
        json!({
            "given_name": self.given_name,
            "family_name": self.family_name,
            "birthdate": self.birthdate(now),
            "address": {
                "street_address": self.street,
                "locality": self.locality,
                "region": "CA",
                "postal_code": self.postal_code,
            },
            "age_equal_or_over": ages,
        })
    }

    /// The birth date: the first of this month, as many years ago as the person is old.
    pub(crate) fn birthdate(&self, now: i64) -> String {
        let (year, month) = year_and_month(now);
        format!("{:04}-{month:02}-01", year - i64::from(self.age))
    }
}

/// The year and month (1 to 12) of a time, UTC, in the proleptic Gregorian calendar.
fn year_and_month(now: i64) -> (i64, i64) {
    // days since 0000-03-01, in eras of 400 years, so that a leap day is the last day of its year
    let days = now.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (time, expected) in [
            (0, (1970, 1)),
            (951_782_400, (2000, 2)),    // 29 February 2000
            (951_868_800, (2000, 3)),    // the day after
            (1_795_305_600, (2026, 11)), // 22 November 2026
            (-86_400, (1969, 12)),
            (4_107_542_399, (2100, 2)), // 28 February 2100, which is no leap year
            (4_107_542_400, (2100, 3)),
        ] {
            assert_eq!(year_and_month(time), expected, "{time}");
        }
        assert_eq!(PEOPLE[0].birthdate(1_795_305_600), "1990-11-01");
    }

    #[test]
    fn ages_are_answered_for_each_threshold() {
        let claims = Person::find("ben").expect("Ben").claims(1_795_305_600);
        assert_eq!(claims["age_equal_or_over"], json!({ "18": true, "21": false, "65": false }));
    }
}
