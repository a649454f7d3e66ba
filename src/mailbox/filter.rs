//! Which messages a subscription wants, as data: evaluating it runs no foreign code, so it can be done anywhere.

use crate::message::Formatters;
use crate::message::kind::Kind;
use crate::sync::Arc;

/// Nothing set: everything. Else: a type of the set, *or* a type with one of the forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Filter {
    #[default]
    All,
    Some(Arc<Accept>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accept {
    /// A bit per type number.
    types: Vec<u64>,
    formatters: Formatters,
}

impl Filter {
    #[inline]
    pub(crate) fn accepts(&self, kind: &Kind) -> bool {
        match self {
            Self::All => true,
            Self::Some(accept) => accept.accepts(kind),
        }
    }

    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// This type and nothing else.
    pub(crate) fn of_type(id: u32) -> Self {
        let mut filter = Self::All;
        filter.add_type(id);
        filter
    }

    /// Also this type.
    pub(crate) fn add_type(&mut self, id: u32) {
        let accept = self.edit();
        let (word, bit) = (id as usize / 64, id % 64);
        if accept.types.len() <= word {
            accept.types.resize(word + 1, 0);
        }
        accept.types[word] |= 1 << bit;
    }

    /// Also every type that has one of these forms.
    pub(crate) fn add_formatters(&mut self, formatters: Formatters) {
        let accept = self.edit();
        accept.formatters = accept.formatters | formatters;
    }

    fn edit(&mut self) -> &mut Accept {
        if self.is_all() {
            *self = Self::Some(Arc::default());
        }
        match self {
            Self::Some(accept) => Arc::make_mut(accept),
            Self::All => unreachable!("replaced above"),
        }
    }
}

impl Accept {
    #[inline]
    fn accepts(&self, kind: &Kind) -> bool {
        let (word, bit) = (kind.id() as usize / 64, kind.id() % 64);
        let by_type = self.types.get(word).is_some_and(|types| types >> bit & 1 != 0);
        by_type || (!self.formatters.is_empty() && self.formatters.intersects(kind.formatters()))
    }
}
