//! `GEO`: what `@geoLookup` found last.

use super::Failure;
use super::bag::Bag;
use super::data::Data;
use super::state::{Place, State};
use super::text::Text;
use crate::operator::Operator;
use crate::variable::Variable;

impl State<'_> {
    /// Makes `GEO` what the database knows of the address `form`, and nothing else.
    pub(super) fn locate(
        &mut self,
        data: &Data,
        operator: &Operator,
        form: &Text<'_>,
    ) -> Result<(), Failure> {
        let known = operator.located(&form.bytes(data, &self.forms));
        let known = known.map_err(|failure| Failure::Operator(failure.to_string()))?.unwrap_or_default();
        let before = self.bag(Variable::Geo).into_iter().flat_map(Bag::iter);
        let before: Vec<_> = before.map(|(name, _)| self.forms.made.get(name).to_vec()).collect();
        for name in before {
            self.set_variable(&Place::Member(Variable::Geo, name), None)?;
        }
        known.into_iter().try_for_each(|(name, text)| {
            let place = Place::Member(Variable::Geo, name.as_bytes().to_vec());
            let value = self.make(text.as_bytes())?;
            self.set_variable(&place, Some(value))
        })
    }
}
