//! The two things that the safe crate cannot do: learning a topic's id, and reading headers whose
//! name is no UTF-8 (it panics on them, and any producer may write some).
//!
//! All unsafe code of the adapter lives here. Every pointer comes from librdkafka, is used while
//! its owner lives (events and lists are destroyed by guards), and what leaves is owned by Rust.
#![expect(unsafe_code, reason = "the safe crate has neither call; see the module doc")]

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings as native;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

use super::context::Ears;

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Made when the topic was created.
    pub(super) id: [u8; 16],
    /// How many there are.
    pub(super) partitions: u32,
    /// Whether each partition has a leader.
    pub(super) has_leaders: bool,
}

/// Asks for `names`; the answers are in their order.
pub(super) fn describe_topics(
    client: &Client<Ears>,
    names: &[String],
    timeout: Duration,
) -> Result<Vec<Result<Description, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let names: Vec<CString> =
        names.iter().map(|name| CString::new(name.as_str()).unwrap_or_default()).collect();
    let event = Event::of_describe_topics(client, &names, timeout);
    // SAFETY: `event` is a live event or null; null is checked first.
    let result = unsafe {
        if event.0.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let error = native::rd_kafka_event_error(event.0);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        native::rd_kafka_event_DescribeTopics_result(event.0)
    };
    if result.is_null() {
        return Err(RDKafkaErrorCode::BadMessage);
    }
    let mut count = 0;
    // SAFETY: `result` belongs to the live `event`; the array has `count` entries.
    let found = unsafe {
        let array = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) }
    };
    let of = |name: &CString| {
        // SAFETY: each entry belongs to the live `event`, its name is a C string.
        let is_it = |topic: &&_| unsafe {
            CStr::from_ptr(native::rd_kafka_TopicDescription_name(**topic)) == name.as_c_str()
        };
        let missing = RDKafkaErrorCode::UnknownTopicOrPartition;
        found.iter().find(is_it).map_or(Err(missing), |topic| describe(*topic))
    };
    Ok(names.iter().map(of).collect())
}

fn describe(
    topic: *const native::rd_kafka_TopicDescription_t,
) -> Result<Description, RDKafkaErrorCode> {
    // SAFETY: the caller keeps the event alive that `topic` belongs to; partitions and id are
    // parts of it, the array has `count` entries, and an error may be null.
    unsafe {
        let error = native::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            let code = native::rd_kafka_error_code(error);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(code.into());
            }
        }
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return Err(RDKafkaErrorCode::UnsupportedFeature);
        }
        let high = native::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let low = native::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        let id = ((u128::from(high) << 64) | u128::from(low)).to_be_bytes();
        let mut count = 0;
        let array = native::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let all = if count == 0 { &[] } else { std::slice::from_raw_parts(array, count) };
        let leads = |partition: &*const _| {
            !native::rd_kafka_TopicPartitionInfo_leader(*partition).is_null()
        };
        let partitions = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Description { id, partitions, has_leaders: all.iter().all(leads) })
    }
}

/// A reply of librdkafka, or null; destroyed on drop.
struct Event(*mut native::rd_kafka_event_t);

impl Event {
    /// Blocks until the reply is there or `timeout` is over.
    fn of_describe_topics(client: &Client<Ears>, names: &[CString], timeout: Duration) -> Self {
        let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the client lives through the call; names are copied into the collection;
        // collection, options and queue are made here and destroyed here, after the reply or after
        // waiting for it, and librdkafka keeps references of its own to what it still needs.
        unsafe {
            let rk = client.native_ptr();
            let api = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
            let options = native::rd_kafka_AdminOptions_new(rk, api);
            native::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            let topics = native::rd_kafka_TopicCollection_of_topic_names(
                pointers.as_mut_ptr(),
                pointers.len(),
            );
            let queue = native::rd_kafka_queue_new(rk);
            native::rd_kafka_DescribeTopics(rk, topics, options, queue);
            let event = native::rd_kafka_queue_poll(queue, millis.saturating_add(500));
            native::rd_kafka_queue_destroy(queue);
            native::rd_kafka_TopicCollection_destroy(topics);
            native::rd_kafka_AdminOptions_destroy(options);
            Self(event)
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it is a live event that nobody else owns.
            unsafe { native::rd_kafka_event_destroy(self.0) }
        }
    }
}

/// The headers of `message` in their order; bytes of a name that are no UTF-8 become U+FFFD.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let mut read = Vec::new();
    let mut headers = ptr::null_mut();
    let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the message lives through the call and owns its headers; a name is a C string, a
    // value has `size` bytes or is null; both are copied.
    unsafe {
        let error = native::rd_kafka_message_headers(message.ptr(), &raw mut headers);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return read;
        }
        while native::rd_kafka_header_get_all(
            headers,
            read.len(),
            &raw mut name,
            &raw mut value,
            &raw mut size,
        ) == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let is_empty = value.is_null() || size == 0;
            let value =
                if is_empty { &[] } else { std::slice::from_raw_parts(value.cast::<u8>(), size) };
            read.push((name, Bytes::copy_from_slice(value)));
        }
    }
    read
}
