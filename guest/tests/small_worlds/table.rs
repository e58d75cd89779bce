//! The contract's section 3 as one table, compared with the engine in every world.

use contact_sync_guest::contact::{
    ChangeKey, CrmContact, CrmFields, CrmId, Field, FieldSet, MailboxContact, MailboxId, Shape,
    View,
};
use contact_sync_guest::job::{
    ConflictWinner, CrmNotFound, DeleteEdit, GuardLimits, Matching, NativeSync, OnCrmDelete,
    OnMailboxDelete, OnUnmark, Policy,
};
use contact_sync_guest::links::{Edited, Link, Standing};
use contact_sync_guest::mapping::Base;
use contact_sync_guest::outside::Timestamp;
use contact_sync_guest::plan::{self, Deed, Half, Pair, Rules};
use contact_sync_guest::report::Problem;
use serde_json::Value;

/// What is remembered of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Nothing,
    Linked { marker_seen: bool },
    Detached,
    Tombstone,
}

/// What is known of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// No partner: only where nothing is remembered.
    None,
    /// Not read. Of a pair: as in the base.
    Unread,
    Same,
    Edited,
    Deleted,
    /// Vanished from the CRM; moved to another folder of the mailbox.
    Astray,
    Unreadable,
}

/// One world. The marker is what a present CRM contact says about it.
#[derive(Clone, Copy, Debug)]
struct World {
    memory: Memory,
    crm: Known,
    marker: Option<bool>,
    mailbox: Known,
    delete_edit: DeleteEdit,
    on_crm_delete: OnCrmDelete,
    on_mailbox_delete: OnMailboxDelete,
    on_unmark: OnUnmark,
    crm_not_found: CrmNotFound,
}

/// What is to happen, in the words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Nothing,
    Held,
    /// Agreed: what is written where, and whether the marker is set.
    Agree {
        crm: bool,
        mailbox: bool,
        mark: bool,
    },
    CreateInCrm,
    CreateInMailbox,
    RestoreInCrm,
    DeleteInCrm,
    DeleteInMailbox,
    Unmark,
    Detach,
    Forget,
}

// ---- the contract -------------------------------------------------------------------------------

/// Section 3, row by row: the first row that fits says what happens.
fn fate(world: &World) -> Fate {
    use Known::{Astray, Deleted, Unreadable};
    let (crm, mailbox) = (world.crm, world.mailbox);
    let crm_there = matches!(crm, Known::Same | Known::Edited);
    let mailbox_there = matches!(mailbox, Known::Same | Known::Edited);
    let marked = crm_there && world.marker == Some(true);
    let purged = crm == Astray && world.crm_not_found == CrmNotFound::Deleted;
    let crm_gone = crm == Deleted || purged;
    let vanished = crm == Astray && !purged;
    // "held | any, and the reverse".
    let held = crm == Unreadable || mailbox == Unreadable || vanished || mailbox == Astray;
    match world.memory {
        // Not remembered, and not to be found again: the next pass looks.
        Memory::Nothing if crm == Astray && mailbox != Unreadable => Fate::Nothing,
        // Neither side has anything left.
        Memory::Linked { .. } if crm == Astray && mailbox == Deleted => Fate::Forget,
        Memory::Nothing | Memory::Linked { .. } if held => Fate::Held,
        Memory::Nothing if crm_there && mailbox_there => agree(world, !marked),
        Memory::Nothing if marked => Fate::CreateInMailbox,
        Memory::Nothing if mailbox_there => Fate::CreateInCrm,
        Memory::Nothing => Fate::Nothing,

        Memory::Linked { .. } if crm_gone => match (mailbox, world.on_crm_delete) {
            (Deleted, _) => Fate::Forget,
            (_, OnCrmDelete::KeepInMailbox) => Fate::Detach,
            (Known::Edited, _) if world.delete_edit == DeleteEdit::KeepEdit => {
                // Never rebuilt from the mailbox's poorer view.
                if purged {
                    Fate::Held
                } else {
                    Fate::RestoreInCrm
                }
            }
            _ => Fate::DeleteInMailbox,
        },
        // The marker was seen, and a successful answer lacks it.
        Memory::Linked { marker_seen: true } if crm_there && world.marker == Some(false) => {
            match (mailbox, world.on_unmark) {
                (Deleted, _) => Fate::Forget,
                (Known::Edited, _) | (_, OnUnmark::Keep) => Fate::Detach,
                (_, OnUnmark::DeleteFromMailbox) => Fate::DeleteInMailbox,
            }
        }
        Memory::Linked { .. } if mailbox == Deleted => {
            let edit_wins = world.delete_edit == DeleteEdit::KeepEdit;
            match (crm, world.on_mailbox_delete) {
                (Known::Edited, _) if edit_wins => Fate::CreateInMailbox,
                (_, OnMailboxDelete::DeleteInCrm) => Fate::DeleteInCrm,
                (_, OnMailboxDelete::Unmark) => Fate::Unmark,
            }
        }
        Memory::Linked { marker_seen } => {
            let news = crm == Known::Edited || mailbox == Known::Edited;
            let lacks_marker = crm_there && world.marker == Some(false);
            let first_seen = marked && !marker_seen;
            if news || lacks_marker || first_seen {
                agree(world, lacks_marker)
            } else {
                Fate::Nothing
            }
        }

        Memory::Detached | Memory::Tombstone
            if marked && matches!(mailbox, Astray | Unreadable) =>
        {
            Fate::Held
        }
        Memory::Detached if marked && mailbox_there => agree(world, false),
        Memory::Detached if marked && mailbox == Deleted => Fate::CreateInMailbox,
        Memory::Detached if mailbox == Deleted => Fate::Forget,
        Memory::Detached => Fate::Nothing,

        Memory::Tombstone if marked && mailbox == Deleted => Fate::CreateInMailbox,
        Memory::Tombstone if crm_there && mailbox_there => agree(world, !marked),
        Memory::Tombstone if crm == Deleted && mailbox_there => Fate::RestoreInCrm,
        Memory::Tombstone if matches!(crm, Astray | Unreadable) && mailbox_there => Fate::Held,
        Memory::Tombstone => Fate::Nothing,
    }
}

/// Each side gets what the other one edited. Without a base both have everything to say.
fn agree(world: &World, mark: bool) -> Fate {
    Fate::Agree {
        crm: world.mailbox == Known::Edited,
        mailbox: world.crm == Known::Edited,
        mark,
    }
}

/// Whether something must be read before this may happen: "nothing is destroyed, restored or
/// linked anew on the strength of one side's news alone".
fn must_read_first(world: &World, fate: Fate) -> bool {
    let is_unread = world.crm == Known::Unread || world.mailbox == Known::Unread;
    let is_grave = match fate {
        // A pair that is forgotten keeps its tombstone, and comes back if its contacts do.
        Fate::Nothing | Fate::Held | Fate::Forget => false,
        Fate::Agree { .. } => !matches!(world.memory, Memory::Linked { .. }),
        _ => true,
    };
    is_unread && is_grave
}

// ---- all worlds ---------------------------------------------------------------------------------

fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for memory in [
        Memory::Nothing,
        Memory::Linked { marker_seen: true },
        Memory::Linked { marker_seen: false },
        Memory::Detached,
        Memory::Tombstone,
    ] {
        for (crm, marker) in crm_halves(memory) {
            for mailbox in halves(memory) {
                let nobody = matches!(crm, Known::None) && matches!(mailbox, Known::None);
                if !nobody {
                    add_policies(&mut worlds, memory, (crm, marker), mailbox);
                }
            }
        }
    }
    worlds
}

/// A contact without partner has none, and one that was not read says nothing.
fn halves(memory: Memory) -> Vec<Known> {
    let unknown = if memory == Memory::Nothing {
        Known::None
    } else {
        Known::Unread
    };
    let known = [
        Known::Same,
        Known::Edited,
        Known::Deleted,
        Known::Astray,
        Known::Unreadable,
    ];
    [unknown].into_iter().chain(known).collect()
}

fn crm_halves(memory: Memory) -> Vec<(Known, Option<bool>)> {
    let markers = |half: Known| match half {
        Known::Same | Known::Edited => vec![Some(true), Some(false), None],
        _ => vec![None],
    };
    let with_markers = |half| markers(half).into_iter().map(move |marker| (half, marker));
    halves(memory).into_iter().flat_map(with_markers).collect()
}

fn add_policies(
    worlds: &mut Vec<World>,
    memory: Memory,
    (crm, marker): (Known, Option<bool>),
    mailbox: Known,
) {
    for number in 0..32_u8 {
        let is = |bit: u8| number & (1 << bit) != 0;
        worlds.push(World {
            memory,
            crm,
            marker,
            mailbox,
            delete_edit: if is(0) {
                DeleteEdit::KeepEdit
            } else {
                DeleteEdit::Delete
            },
            on_crm_delete: if is(1) {
                OnCrmDelete::DeleteInMailbox
            } else {
                OnCrmDelete::KeepInMailbox
            },
            on_mailbox_delete: if is(2) {
                OnMailboxDelete::DeleteInCrm
            } else {
                OnMailboxDelete::Unmark
            },
            on_unmark: if is(3) {
                OnUnmark::Keep
            } else {
                OnUnmark::DeleteFromMailbox
            },
            crm_not_found: if is(4) {
                CrmNotFound::Hold
            } else {
                CrmNotFound::Deleted
            },
        });
    }
}

// ---- the engine ---------------------------------------------------------------------------------

const NAME: &str = "Muster";

/// The CRM's user edits the position, the mailbox's the department.
fn crm_fields(is_edited: bool) -> CrmFields {
    let mut fields = CrmFields::default();
    fields
        .texts
        .insert(Field::LastName, vec![Value::from(NAME)]);
    if is_edited {
        fields
            .texts
            .insert(Field::Position, vec![Value::from("Leitung")]);
    }
    fields
}

fn view(is_edited: bool) -> View {
    let mut view = View::default();
    view.texts.insert(Field::LastName, NAME.to_owned());
    if is_edited {
        view.texts.insert(Field::Department, "Verkauf".to_owned());
    }
    view
}

fn half<T>(known: Known, contact: impl FnOnce(bool) -> T) -> Half<T> {
    match known {
        Known::None => Half::Absent,
        Known::Unread => Half::Unread,
        Known::Same => Half::Present(contact(false)),
        Known::Edited => Half::Present(contact(true)),
        Known::Deleted => Half::Deleted,
        Known::Astray => Half::Astray,
        Known::Unreadable => Half::Unreadable(Problem {
            message: "unreadable".to_owned(),
            remedy: None,
        }),
    }
}

fn pair(world: &World) -> Pair {
    let (crm_id, mailbox_id) = (CrmId::new("c"), MailboxId::new("m"));
    let change_key = ChangeKey::new("1");
    let (standing, marker_seen) = match world.memory {
        Memory::Nothing | Memory::Detached => (Standing::Detached, false),
        Memory::Linked { marker_seen } => (Standing::Linked, marker_seen),
        Memory::Tombstone => (Standing::Tombstone { at: Timestamp(0) }, false),
    };
    let link = Link {
        crm_id: crm_id.clone(),
        mailbox_id: mailbox_id.clone(),
        standing,
        marker_seen,
        base: Base {
            crm: crm_fields(false),
            view: view(false),
            fields: FieldSet::from(Field::ALL),
            ..Base::default()
        },
        crm_modified: None,
        change_key: change_key.clone(),
        key: None,
        stable_id: None,
        unfinished: None,
        told: Vec::new(),
    };
    Pair {
        link: (world.memory != Memory::Nothing).then_some(link),
        crm: half(world.crm, |is_edited| CrmContact {
            id: crm_id,
            modified: None,
            created: None,
            creator: None,
            marked: world.marker,
            locked: FieldSet::new(),
            fields: crm_fields(is_edited),
        }),
        mailbox: half(world.mailbox, |is_edited| MailboxContact {
            id: mailbox_id,
            change_key,
            stable_id: None,
            modified: None,
            view: view(is_edited),
        }),
    }
}

fn policy(world: &World) -> Policy {
    Policy {
        conflict: ConflictWinner::Crm,
        delete_edit: world.delete_edit,
        on_crm_delete: world.on_crm_delete,
        on_mailbox_delete: world.on_mailbox_delete,
        on_unmark: world.on_unmark,
        matching: Matching::EmailOrPhone,
        guard: GuardLimits {
            contacts_max: 10,
            contacts_percent_max: 10,
        },
        journal_days: 30,
        native_sync: NativeSync::Off,
        crm_not_found: world.crm_not_found,
    }
}

fn decided(pair: &Pair, policy: &Policy) -> Fate {
    let fields = FieldSet::from(Field::ALL);
    let rules = Rules {
        fields: &fields,
        shape: Shape {
            other_phone: false,
            keeps_gaps: false,
        },
        region: "DE",
        policy,
        times: Some(&Edited::default()),
    };
    match plan::decide(pair, &rules).deed {
        Deed::Rest => Fate::Nothing,
        Deed::Hold(_) => Fate::Held,
        Deed::Agree { merged, mark } => Fate::Agree {
            crm: merged.crm != *pair.crm_fields(),
            mailbox: merged.view != *pair.view(),
            mark,
        },
        Deed::CreateInCrm(_) => Fate::CreateInCrm,
        Deed::CreateInMailbox(_) => Fate::CreateInMailbox,
        Deed::RestoreInCrm => Fate::RestoreInCrm,
        Deed::DeleteInCrm => Fate::DeleteInCrm,
        Deed::DeleteInMailbox => Fate::DeleteInMailbox,
        Deed::Unmark => Fate::Unmark,
        Deed::PutBack { .. } => panic!("only a restore puts back"),
        Deed::Detach => Fate::Detach,
        Deed::Forget => Fate::Forget,
    }
}

#[test]
pub(crate) fn every_pair_meets_the_fate_of_the_table() {
    let worlds = worlds();
    for world in &worlds {
        assert_eq!(
            decided(&pair(world), &policy(world)),
            fate(world),
            "{world:#?}"
        );
    }
    assert!(worlds.len() > 9_000, "{} worlds", worlds.len());
}

#[test]
pub(crate) fn nothing_grave_is_decided_before_both_halves_were_read() {
    let fields = FieldSet::from(Field::ALL);
    for world in worlds() {
        let (pair, policy) = (pair(&world), policy(&world));
        let unknown = plan::unknown(&pair, &fields, &policy);
        let reads = unknown.crm || unknown.mailbox;
        if must_read_first(&world, decided(&pair, &policy)) {
            assert!(reads, "{world:#?}");
        }
        // And nothing is read without need: of a pair in step that merely was edited.
        let is_calm = matches!(world.memory, Memory::Linked { .. })
            && matches!(world.crm, Known::Unread | Known::Same | Known::Edited)
            && matches!(world.mailbox, Known::Unread | Known::Same | Known::Edited)
            && world.marker != Some(false);
        assert!(!(is_calm && reads), "{world:#?}");
    }
}

/// Section 5: "under two minutes apart, or unknown: `crm`".
#[test]
fn the_newest_edit_wins_unless_nobody_can_tell() {
    let minutes = |minutes: i64| Some(Timestamp(1_000_000_000 + minutes * 60_000));
    let times = [None, minutes(0), minutes(1), minutes(2), minutes(9)];
    for crm in times {
        for mailbox in times {
            let world = World {
                memory: Memory::Linked { marker_seen: true },
                crm: Known::Edited,
                marker: Some(true),
                mailbox: Known::Edited,
                delete_edit: DeleteEdit::KeepEdit,
                on_crm_delete: OnCrmDelete::DeleteInMailbox,
                on_mailbox_delete: OnMailboxDelete::DeleteInCrm,
                on_unmark: OnUnmark::Keep,
                crm_not_found: CrmNotFound::Hold,
            };
            let mut pair = pair(&world);
            if let Half::Present(contact) = &mut pair.crm {
                contact.modified = crm;
            }
            if let Half::Present(contact) = &mut pair.mailbox {
                contact.modified = mailbox;
                contact
                    .view
                    .texts
                    .insert(Field::Position, "Vertrieb".to_owned());
            }
            let policy = Policy {
                conflict: ConflictWinner::Newest,
                ..policy(&world)
            };
            let mailbox_is_later = matches!((crm, mailbox),
                (Some(crm), Some(mailbox)) if mailbox.0 - crm.0 >= 120_000);
            let expected = Fate::Agree {
                crm: true,
                mailbox: !mailbox_is_later,
                mark: false,
            };
            assert_eq!(decided(&pair, &policy), expected, "{crm:?} {mailbox:?}");
        }
    }
}
