//! Whole numbers of any size, as counters need them: read, added, written in decimal.

use std::cmp::Ordering;

/// A number and its sign; zero has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Digits from the lowest on, without leading zeros.
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads digits with a sign or none.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self::from_digits(
            negative,
            digits.iter().rev().map(|digit| digit - b'0').collect(),
        ))
    }

    fn from_digits(negative: bool, mut digits: Vec<u8>) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Self {
            negative: negative && !digits.is_empty(),
            digits,
        }
    }

    /// The sum.
    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self::from_digits(self.negative, sum(&self.digits, &other.digits));
        }
        match compare(&self.digits, &other.digits) {
            Ordering::Equal => Self::default(),
            Ordering::Greater => Self::from_digits(self.negative, difference(&self.digits, &other.digits)),
            Ordering::Less => Self::from_digits(other.negative, difference(&other.digits, &self.digits)),
        }
    }

    /// The difference.
    pub(super) fn minus(&self, other: &Self) -> Self {
        self.plus(&Self::from_digits(!other.negative, other.digits.clone()))
    }
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        self.digits
            .iter()
            .rev()
            .try_for_each(|digit| write!(f, "{digit}"))
    }
}

fn compare(one: &[u8], other: &[u8]) -> Ordering {
    one.len()
        .cmp(&other.len())
        .then_with(|| one.iter().rev().cmp(other.iter().rev()))
}

fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let mut digits = Vec::with_capacity(one.len().max(other.len()) + 1);
    for index in 0..=one.len().max(other.len()) {
        let total = carry + one.get(index).unwrap_or(&0) + other.get(index).unwrap_or(&0);
        digits.push(total % 10);
        carry = total / 10;
    }
    digits
}

/// `one` is not less than `other`.
fn difference(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut digits = Vec::with_capacity(one.len());
    for (index, digit) in one.iter().enumerate() {
        let less = other.get(index).unwrap_or(&0) + borrow;
        borrow = u8::from(*digit < less);
        digits.push(digit + 10 * borrow - less);
    }
    assert_eq!(borrow, 0, "the larger number comes first");
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn agrees_with_integers() {
        proptest!(|(a in any::<i64>(), b in any::<i64>())| {
            let (one, other) = (Decimal::parse(a.to_string().as_bytes()), Decimal::parse(b.to_string().as_bytes()));
            let (one, other) = (one.unwrap(), other.unwrap());
            prop_assert_eq!(one.plus(&other).to_string(), (i128::from(a) + i128::from(b)).to_string());
            prop_assert_eq!(one.minus(&other).to_string(), (i128::from(a) - i128::from(b)).to_string());
        });
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "+-1", "1.5", "1e3", " 1", "0x1"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Decimal::parse(b"+007").unwrap().to_string(), "7");
        assert_eq!(Decimal::parse(b"-0").unwrap().to_string(), "0");
    }
}
