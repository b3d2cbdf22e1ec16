// SPDX-License-Identifier: Apache-2.0
//! `struct life_record` → [`Captured::Life`].

use vor_model::{Captured, Life, LifeEvent, ProcessKey, TaskName};
use zerocopy::FromBytes;

use crate::tracers::DecodeError;
use crate::tracers::wire::{LIFE_EXEC, LIFE_EXIT, LIFE_FORK, LIFE_LISTEN, LifeRecord};

pub(super) fn decode(bytes: &[u8]) -> Result<Captured, DecodeError> {
    let (record, _) = LifeRecord::read_from_prefix(bytes)
        .map_err(|_| DecodeError::Short { len: bytes.len(), expected: "life_record" })?;
    let event = match u32::from(record.kind) {
        LIFE_FORK => LifeEvent::Fork { parent: record.parent },
        LIFE_EXEC => LifeEvent::Exec { program: TaskName::new(record.program) },
        LIFE_EXIT => LifeEvent::Exit,
        LIFE_LISTEN => LifeEvent::Listen { port: record.port },
        kind => return Err(DecodeError::Value { field: "life_record.kind", value: kind.into() }),
    };
    let process = ProcessKey::new(record.pid, record.started_ns);
    Ok(Captured::Life(Life { process, event }))
}

#[cfg(test)]
mod tests {
    use vor_model::Mono;
    use zerocopy::IntoBytes;

    use super::*;

    const RECORD: LifeRecord = LifeRecord {
        started_ns: 7_654_321_000,
        pid: 11,
        parent: 3,
        kind: 1,
        port: 8080,
        _pad: [0; 4],
        program: *b"nginx\0\0\0\0\0\0\0\0\0\0\0",
    };

    #[test]
    fn each_kind_of_record_is_an_event() {
        for (kind, event) in [
            (1, LifeEvent::Fork { parent: 3 }),
            (2, LifeEvent::Exec { program: TaskName::new(RECORD.program) }),
            (3, LifeEvent::Exit),
            (4, LifeEvent::Listen { port: 8080 }),
        ] {
            let captured = decode(LifeRecord { kind, ..RECORD }.as_bytes());
            let Ok(Captured::Life(life)) = captured else { panic!("{captured:?}") };
            assert_eq!((life.process.pid, life.process.started), (11, Mono(7_650_000_000)));
            assert_eq!(life.event, event);
        }
    }

    #[test]
    fn a_record_that_is_cut_or_unknown_is_refused() {
        let bytes = RECORD.as_bytes();
        assert!(matches!(decode(&bytes[..20]), Err(DecodeError::Short { len: 20, .. })));
        let unknown = LifeRecord { kind: 9, ..RECORD };
        assert!(matches!(decode(unknown.as_bytes()), Err(DecodeError::Value { value: 9, .. })));
    }
}
