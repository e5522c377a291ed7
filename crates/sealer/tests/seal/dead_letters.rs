//! Records that fit no table: they are kept with the reason, and nothing stops.
//! Refuses to accept a loss: payloads come back byte for byte.

use rtrans::TypeNo;
use sealer::Line;
use serde_json::Value;

use crate::world::{World, plan_with};

const TABLES: &str = "[[table]]\ntype = 1\nfile = 'blocks.parquet'\n\
                      columns = [{ name = 'gas', type = 'u64' }, { name = 'hash', type = 'utf8' }]\n";

#[test]
fn what_fits_no_table_is_kept_whole_with_the_reason() {
    let plan = plan_with("[cut]\nage = '0s'", TABLES);
    let world = World::new(1);
    let log = world.log();
    let large = [b"{\"gas\":1,\"hash\":\"".as_slice(), &vec![b'x'; 20 << 20], b"\"}"].concat();
    let payloads: [(u32, &[u8], &str); 7] = [
        (1, br#"{"gas":1,"hash":"a"}"#, ""),
        (1, br#"{"gas":1,"hash":"#, "blocks.parquet: no JSON: EOF while parsing a value at line 1 column 16"),
        (1, br#"{"gas":"many","hash":"a"}"#, "blocks.parquet: gas is no u64"),
        (1, br#"{"gas":1}"#, "blocks.parquet: hash is missing"),
        (1, b"\xff\xfe", "blocks.parquet: no JSON: expected value at line 1 column 1"),
        (9, b"anything", "no table takes type 9"),
        (1, &large, "blocks.parquet: 20971539 bytes are more than the 16777216 that are read as JSON"),
    ];
    for (type_no, payload, _) in payloads {
        log.append(TypeNo(type_no), payload).unwrap();
    }
    let sealed = world.sealer(&plan, &log).seal_all().unwrap();
    assert_eq!(sealed[0].files["_rejected.parquet"].rows, 6);
    assert_eq!(sealed[0].files["blocks.parquet"].rows, 1);
    let lines = world.read(&plan, None, 0..100);
    assert_eq!(lines.len(), payloads.len());
    for (line, (type_no, payload, reason)) in lines.iter().zip(payloads) {
        let Line::Row { table, values, .. } = line else { panic!("{line:?}") };
        if reason.is_empty() {
            assert_eq!(table, "blocks");
            continue;
        }
        assert_eq!((table.as_str(), &values["reason"]), ("_rejected", &Value::from(reason)));
        assert_eq!(values["type"], Value::from(type_no));
        let digits = payload.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
        assert!(values["bytes"] == format!("0x{digits}"), "{reason}");
    }
}
