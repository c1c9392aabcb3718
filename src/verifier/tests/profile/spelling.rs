//! What is no violation of the profile but no token at all: another spelling, or none.

use shortbread_protocol::reason::Reason;

use super::write::{block_with, by_broker, field, first, number, query_with, raw, signed};
use super::{Row, hold};

#[test]
fn other_spellings_are_malformed() {
    let token = by_broker(|_| {});
    let bare = |says, bytes| Row::broken("spelling", says, bytes).because(Reason::TokenMalformed);
    let doubled = [first().0, number(3, 3)].concat();
    let again = field(1, "github".as_bytes());
    let own = field(1, "read".as_bytes());
    let with_symbol = |symbol: &[u8]| raw([symbol, &number(3, 3)].concat());
    hold(vec![
        bare("it has no authority block", Vec::new()),
        bare("it ends too early", token[..token.len() - 1].to_vec()),
        bare("it has an unknown field", [&token[..], &[0x2a, 0]].concat()),
        bare("fields are out of order", [&token[..], &[0x08, 1]].concat()),
        bare("a field is given twice", [&token[..], &token[token.len() - 36..]].concat()),
        bare("a field is given twice", raw([number(3, 3), number(3, 3)].concat())),
        bare("fields are out of order", signed(&[doubled])),
        bare("a number is not in its shortest form", raw(vec![0x18, 0x83, 0])),
        bare("a number is not in its shortest form", raw(vec![0x98, 0, 3])),
        bare("a number is too large for its field", raw(vec![0x18, 0xff, 0xff, 0xff, 0xff, 0x7f])),
        bare("a text is in the symbol table twice", with_symbol(&again)),
        bare("a text is in the symbol table twice", with_symbol(&own)),
        bare("a text is not UTF-8", with_symbol(&field(1, &[0xff]))),
        bare("a symbol has no text", query_with(&field(2, &number(1, 99)))),
        bare("a field is missing", query_with(&field(2, &[]))),
        bare("a number stands where bytes belong", block_with(&number(6, 1))),
        bare("bytes stand where a number belongs", raw(field(3, &[]))),
        bare("a field has an unknown wire type", raw(vec![0x1d, 0, 0, 0, 0])),
    ]);
}
