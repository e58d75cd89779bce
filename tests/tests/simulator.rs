//! The simulator keeps what the fact sheets say of the services.
//!
//! Each test names one behaviour and shows both positions of its switch, where it has one. A test
//! that a client relies on is worth nothing if the simulator is wrong; so the texts and shapes that
//! the services are known to answer are asserted literally.

#[path = "simulator/autodiscover.rs"]
mod autodiscover;
#[path = "simulator/batch.rs"]
mod batch;
#[path = "simulator/client.rs"]
mod client;
#[path = "simulator/contacts.rs"]
mod contacts;
#[path = "simulator/delta.rs"]
mod delta;
#[path = "simulator/entities.rs"]
mod entities;
#[path = "simulator/ews.rs"]
mod ews;
#[path = "simulator/ews_sign_in.rs"]
mod ews_sign_in;
#[path = "simulator/http.rs"]
mod http;
#[path = "simulator/markers.rs"]
mod markers;
#[path = "simulator/ntlm.rs"]
mod ntlm;
#[path = "simulator/people.rs"]
mod people;
#[path = "simulator/search.rs"]
mod search;
#[path = "simulator/sign_in.rs"]
mod sign_in;
#[path = "simulator/world.rs"]
mod world;
