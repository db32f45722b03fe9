/** What is parsed. Of the process, as the parser is: a start with other limits sets them before the first session. */
export const parseLimits: { maxBytes: number; maxDepth: number } = { maxBytes: 1024 * 1024, maxDepth: 1000 };
