//! The walk over records in order: which block each belongs to, and whether the blocks are linked.
//! Refuses to go on behind a block that does not fit the one before.

use rtrans::TransId;

use crate::column::whole;
use crate::error::Halt;
use crate::json::Json;
use crate::json_path::JsonPath;
use crate::plan::{Numbering, Parent, Plan};

/// Longer payloads are not read as JSON: their values would take many times their size.
const JSON_BYTES_MAX: usize = 16 << 20;

/// The payload of a record as JSON, or why it is none. `None` when no part of the plan reads it.
pub(crate) type Document<'a> = Option<Result<Json<'a>, String>>;

/// Where the walk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The lowest block that the next record may have.
    least: u64,
    /// The hash of the last linked block.
    pub(crate) last_hash: Option<String>,
}

/// Where a record belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) block: u64,
    /// Why its own words do not say that. It belongs to the block that was reached before it.
    pub(crate) misfit: Option<String>,
}

/// The payload as the plan reads it.
pub(crate) fn document<'a>(plan: &Plan, type_no: u32, bytes: &'a [u8]) -> Document<'a> {
    plan.reads_json(type_no).then(|| parse(bytes))
}

/// The same for who only walks: what fills columns alone is not read.
pub(crate) fn document_to_walk<'a>(plan: &Plan, type_no: u32, bytes: &'a [u8]) -> Document<'a> {
    plan.walks_json(type_no).then(|| parse(bytes))
}

fn parse(bytes: &[u8]) -> Result<Json<'_>, String> {
    if bytes.len() > JSON_BYTES_MAX {
        return Err(format!(
            "{} bytes are more than the {JSON_BYTES_MAX} that are read as JSON",
            bytes.len()
        ));
    }
    Json::parse(bytes).map_err(|error| format!("no JSON: {error}"))
}

impl Walk {
    /// Begins at the first block of a plan, or behind the last one that was sealed.
    pub(crate) fn new(least: u64, last_hash: Option<String>) -> Walk {
        Walk { least, last_hash }
    }

    /// Places the next record, and checks its link.
    pub(crate) fn step(
        &mut self,
        plan: &Plan,
        id: TransId,
        type_no: u32,
        document: &Document<'_>,
    ) -> Result<Placed, Halt> {
        let placed = self.step_unlinked(plan, id, document)?;
        if let (Some(parent), Some(Ok(value))) = (&plan.parent, document) {
            self.link(parent, id, type_no, value, placed.block)?;
        }
        Ok(placed)
    }

    /// Places the next record.
    pub(crate) fn step_unlinked(
        &mut self,
        plan: &Plan,
        id: TransId,
        document: &Document<'_>,
    ) -> Result<Placed, Halt> {
        let placed = match &plan.numbering {
            Numbering::OnePerBlock => {
                let block = plan.first_block.checked_add(id.get().saturating_sub(1));
                // The last number of all cannot be the last of a range whose end is behind it.
                let block = block.filter(|block| *block < u64::MAX).ok_or(Halt::NumberTooLarge { id })?;
                Placed { block, misfit: None }
            }
            Numbering::Fields(fields) => match named_block(fields, document) {
                Ok(block) => Placed { block, misfit: None },
                Err(misfit) => Placed { block: self.least, misfit: Some(misfit) },
            },
        };
        if placed.block < self.least {
            return Err(Halt::NumberFell { id, found: placed.block, least: self.least });
        }
        self.least = placed.block;
        Ok(placed)
    }

    fn link(
        &mut self,
        fields: &Parent,
        id: TransId,
        type_no: u32,
        value: &Json<'_>,
        block: u64,
    ) -> Result<(), Halt> {
        if fields.type_no.is_some_and(|of| of != type_no) {
            return Ok(());
        }
        let text = |field: &JsonPath| field.find(value).and_then(Json::text);
        let (hash, parent) = (text(&fields.hash), text(&fields.parent));
        let (hash, parent) = match (hash, parent) {
            (Some(hash), Some(parent)) => (hash, parent),
            // A block without them breaks the line as much as one with others.
            _ if fields.type_no.is_some() => ("", parent.unwrap_or("nothing")),
            _ => return Ok(()),
        };
        if let Some(expected) = self.last_hash.as_ref().filter(|expected| expected.as_str() != parent) {
            let (expected, found) = (expected.clone(), parent.to_owned());
            return Err(Halt::ParentDiffers { block, id, expected, found });
        }
        self.last_hash = Some(hash.to_owned());
        Ok(())
    }
}

/// The block that a record names, or why it names none.
fn named_block(fields: &[JsonPath], document: &Document<'_>) -> Result<u64, String> {
    let document = match document {
        Some(Ok(document)) => document,
        Some(Err(reason)) => return Err(reason.clone()),
        None => return Err("it was not read as JSON".to_owned()),
    };
    let number = fields.iter().find_map(|field| field.find(document)).and_then(whole);
    let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number < u64::MAX);
    number.ok_or_else(|| "it names no block".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(numbering: &str) -> Plan {
        Plan::parse(&format!(
            "dataset = 'a'\nstore = 'file:///a'\nfirst_block = 5\nnumbering = {numbering}\nfinality = {{ lag = 0 }}\n\
             parent = {{ hash = 'h', parent = 'p' }}\n[[table]]\nfile = 'r.parquet'\ncolumns = 'raw'\n"
        ))
        .unwrap()
    }

    fn walk(plan: &Plan, payloads: &[&str]) -> Result<Vec<(u64, bool)>, Halt> {
        let mut walk = Walk::new(plan.first_block, None);
        let mut placed = Vec::new();
        for (id, payload) in (1..).filter_map(TransId::new).zip(payloads) {
            let document = document(plan, 0, payload.as_bytes());
            let step = walk.step(plan, id, 0, &document)?;
            placed.push((step.block, step.misfit.is_some()));
        }
        Ok(placed)
    }

    #[test]
    fn each_record_is_a_block_when_the_plan_says_so() {
        assert_eq!(walk(&plan("'one-per-block'"), &["a", "{}"]), Ok(vec![(5, false), (6, false)]));
    }

    #[test]
    fn numbers_may_have_holes_and_misfits_belong_to_the_block_before() {
        let plan = plan("{ field = ['n', 'm'] }");
        let placed = walk(&plan, &["?", r#"{"n":7}"#, r#"{"m":"0x7"}"#, "{}", r#"{"n":20}"#]);
        assert_eq!(placed, Ok(vec![(5, true), (7, false), (7, false), (7, true), (20, false)]));
    }

    #[test]
    fn a_number_that_falls_stops_the_walk() {
        let plan = plan("{ field = 'n' }");
        let id = TransId::new(2).unwrap();
        let halt = Halt::NumberFell { id, found: 6, least: 7 };
        assert_eq!(walk(&plan, &[r#"{"n":7}"#, r#"{"n":6}"#]), Err(halt));
        let id = TransId::FIRST;
        assert_eq!(walk(&plan, &[r#"{"n":4}"#]), Err(Halt::NumberFell { id, found: 4, least: 5 }));
    }

    #[test]
    fn a_block_that_names_another_parent_stops_the_walk() {
        let plan = plan("'one-per-block'");
        assert!(walk(&plan, &[r#"{"h":"a","p":"x"}"#, "{}", r#"{"h":"b","p":"a"}"#]).is_ok());
        let halt = walk(&plan, &[r#"{"h":"a","p":"x"}"#, r#"{"h":"b","p":"c"}"#]).unwrap_err();
        let id = TransId::new(2).unwrap();
        assert_eq!(halt, Halt::ParentDiffers { block: 6, id, expected: "a".into(), found: "c".into() });
    }

    #[test]
    fn deep_and_large_documents_are_misfits_and_no_harm() {
        let plan = plan("{ field = 'n' }");
        let deep = "[".repeat(100_000);
        assert_eq!(walk(&plan, &[&deep]), Ok(vec![(5, true)]));
        let large = vec![b' '; JSON_BYTES_MAX + 1];
        assert!(document(&plan, 0, &large).unwrap().unwrap_err().contains("bytes are more"));
    }
}
