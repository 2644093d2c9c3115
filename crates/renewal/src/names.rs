//! Which names does one certificate cover, and which comes first?

use std::sync::Arc;

use crate::name::Name;

/// The names of one certificate: never none, none twice; the first is the site's domain.
///
/// Cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names(Arc<[Name]>);

impl Names {
    /// Keeps the first of each name, in order; returns `None` when there is none at all.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Option<Self> {
        let mut kept: Vec<Name> = Vec::new();
        for name in names {
            if !kept.contains(&name) {
                kept.push(name);
            }
        }
        (!kept.is_empty()).then(|| Self(kept.into()))
    }

    /// Returns the first name, after which the site and its lineage are called.
    #[must_use]
    pub fn domain(&self) -> &Name {
        &self.0[0]
    }

    /// Returns the names in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Name> {
        self.0.iter()
    }

    /// Returns the names as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Name] {
        &self.0
    }

    /// Says whether both hold the same names, in whatever order.
    #[must_use]
    pub fn same_set(&self, other: &[Name]) -> bool {
        self.0.len() == other.len() && self.0.iter().all(|name| other.contains(name))
    }
}

impl From<Name> for Names {
    fn from(name: Name) -> Self {
        Self([name].into())
    }
}

impl<'a> IntoIterator for &'a Names {
    type Item = &'a Name;
    type IntoIter = std::slice::Iter<'a, Name>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{name}")?;
        }
        Ok(())
    }
}

impl serde::Serialize for Names {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Name>::deserialize(deserializer)?;
        Self::new(names).ok_or_else(|| serde::de::Error::custom("at least one name is needed"))
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::name::Name;

    #[test]
    fn a_name_given_twice_is_kept_once_and_the_first_stays_first() {
        let names = ["b.test", "a.test", "B.test"].map(|text| Name::parse(text).unwrap());
        let names = Names::new(names).unwrap();
        assert_eq!(names.to_string(), "b.test, a.test");
        assert_eq!(names.domain().as_str(), "b.test");
        assert!(Names::new([]).is_none());
    }
}
