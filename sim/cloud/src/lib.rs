//! AWS stores on one port: S3, DynamoDB with Streams, Kinesis, Iceberg REST catalog
