//! Which program wrote a log of format 1: this one, or the original in Ruby, whose entries are 40 bytes.
//! Refuses to believe `size_per_index`: the original program never looked at it.

use std::io;

use super::entry::{Layout, RUBY_ENTRY_BYTES};
use super::files::Files;
use super::look::{Dirs, numbers_in};
use super::position::{Geometry, Key, Slot};
use super::ruby::is_object;
use super::stored::{Form, Packing};
use crate::bytes::u64_at;
use crate::error::Error;
use crate::parameters::{Codec, Parameters, SIZE_PER_INDEX_MAX};

/// So many entries are compared: more than two, so that one damaged entry does not decide.
const PROBED: u64 = 16;

/// Finds out how entries and payloads lie in the files.
///
/// The entries of the first index file that is there are looked for 36 (or what the parameters say) and 40 bytes apart;
/// where they are found more often, they are. Which of the forms of 40 bytes it is, is told by the records themselves.
pub(crate) fn recognise(files: &Files, parameters: &Parameters, dirs: &Dirs) -> Result<Form, Error> {
    let geometry = Geometry::new(parameters)?;
    let plain = Layout::Plain { stride: parameters.size_per_index };
    let packing = |layout| match (layout, parameters.codec()) {
        (Layout::Plain { .. }, Codec::Zlib) => Packing::Zlib,
        (Layout::Plain { .. }, _) => Packing::Raw,
        (_, Codec::Zlib) => Packing::MarshalZlib,
        (_, _) => Packing::Marshal,
    };
    let form = |layout| Form { geometry, layout, packing: packing(layout) };
    let Some((slot, head, len)) = first_entries(files, dirs)? else {
        return plain_or_refused(form(plain), parameters);
    };
    let first = geometry.id_of(slot).unwrap_or(0);
    let wide = u64::from(RUBY_ENTRY_BYTES);
    let own = u64::from(parameters.size_per_index);
    let (found, found_wide) = (matches(&head, first, own), matches(&head, first, wide));
    // One entry alone is told by the length of its file.
    let is_wide_file = len.is_multiple_of(wide) && len.checked_rem(own).is_none_or(|rest| rest != 0);
    if found > found_wide || (found == found_wide && own != wide && !is_wide_file) {
        return plain_or_refused(form(plain), parameters);
    }
    let mut best = (0, Layout::Ruby);
    for layout in [Layout::Ruby, Layout::RubyUntyped, Layout::Plain { stride: RUBY_ENTRY_BYTES }] {
        let good = good_records(files, &form(layout), first)?;
        if good > best.0 {
            best = (good, layout);
        }
    }
    Ok(form(best.1))
}

/// Our own layout needs a stride that holds an entry; one beyond all bounds would have memory made for it.
fn plain_or_refused(form: Form, parameters: &Parameters) -> Result<Form, Error> {
    let given = parameters.size_per_index;
    if !(super::entry::ENTRY_BYTES..=SIZE_PER_INDEX_MAX).contains(&given) {
        let wanted = "it has to be 36 to 4096 in format 1".to_owned();
        return Err(Error::BadParameters { name: "size_per_index", given: u64::from(given), wanted });
    }
    Ok(form)
}

/// The beginning of the first index file that holds anything, the slot that it begins with, and how long it is.
fn first_entries(files: &Files, dirs: &Dirs) -> Result<Option<(Slot, Vec<u8>, u64)>, Error> {
    for dir in &dirs.numbers {
        for file in numbers_in(files, *dir, "index.")? {
            let opened = match files.get(Key::Index { dir: *dir, file }) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let len = opened.len()?;
            let mut head = vec![0; 16 * 4096];
            let read = opened.read_at(&mut head, 0)?;
            head.truncate(read);
            if !super::entry::is_blank(&head) {
                return Ok(Some((Slot { dir: *dir, file, number: 0 }, head, len)));
            }
        }
    }
    Ok(None)
}

/// How many of the first entries are where this stride puts them.
fn matches(head: &[u8], first: u64, stride: u64) -> u64 {
    let is_there = |number: &u64| {
        let offset = number.checked_mul(stride).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| u64_at(head, offset)) == first.checked_add(*number)
    };
    (0..PROBED).filter(is_there).count() as u64
}

/// How many of the first records are good when their entries are read in this way: in as many files as they lie in, as
/// entries of records at the beginnings of files look the same in several ways.
fn good_records(files: &Files, form: &Form, first: u64) -> Result<u64, Error> {
    let is_of_ruby = matches!(form.layout, Layout::Ruby | Layout::RubyUntyped);
    let mut good = 0u64;
    for id in first..first.saturating_add(PROBED) {
        let read = form.find(files, id).and_then(|located| Form::fetch(files, &located));
        match read {
            Ok(stored) if is_of_ruby && !is_object(&stored) => {}
            Ok(_) => good = good.saturating_add(1),
            Err(Error::Io(error)) => return Err(Error::Io(error)),
            Err(_) => {}
        }
    }
    Ok(good)
}
