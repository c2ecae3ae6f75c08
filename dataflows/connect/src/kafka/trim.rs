//! Deleting the oldest records of a partition, at the brokers.

use std::time::Duration;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::connection::{Connection, number};
use super::context::Ears;
use super::topics::block_on;

/// Longest wait for the brokers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes the records of `partition` below `before`.
pub(super) fn delete_records(
    connection: &Connection,
    partition: TopicPartition,
    before: Offset,
) -> Result<(), KafkaError> {
    let client: AdminClient<Ears> =
        connection.admin_config().create_with_context(connection.ears.clone())?;
    let patience = Some(PATIENCE);
    let options = AdminOptions::new().request_timeout(patience).operation_timeout(patience);
    let mut list = TopicPartitionList::with_capacity(1);
    let at = Place::Offset(before.cast_signed());
    list.add_partition_offset(connection.name(partition), number(partition), at)?;
    let deleted = block_on(client.delete_records(&list, &options))?;
    deleted.elements().iter().try_for_each(|element| element.error())
}
