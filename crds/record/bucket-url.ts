/** Bucket, and the prefix with its last `/`, or empty. Throws where the text is not `s3://BUCKET` or `s3://BUCKET/PREFIX`. */
export function parseBucketUrl(url: string): { readonly bucket: string; readonly prefix: string } {
  const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w!.*'()/-]*))?$/.exec(url) ?? [];
  if (bucket === undefined) throw new Error(`${JSON.stringify(url)} is not a bucket: s3://BUCKET/PREFIX`);
  const prefix = path.replace(/^\/+|\/+$/g, '');
  return { bucket, prefix: prefix === '' ? '' : `${prefix}/` };
}
