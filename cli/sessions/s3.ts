/** What is used of the S3 client, by name: a bundle gives a CommonJS package that is imported when it is wanted no names of its own. */
export { GetObjectCommand, ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3';
