import { WireError } from '../errors.ts';

/**
 * Takes the `options` parameter apart as PostgreSQL does (pg_split_opts, then the switches -c and --): words end at white space,
 * a backslash keeps the character after it. Anything but `-c name=value`, `-cname=value` and `--name=value` is refused.
 */
export function tokeniseOptions(options: string): [name: string, value: string][] {
  const words = splitWords(options);
  const settings: [string, string][] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (word.startsWith('--')) settings.push(setting(word.slice(2)));
    else if (word === '-c') settings.push(setting(words[++i]));
    else if (word.startsWith('-c')) settings.push(setting(word.slice(2)));
    else throw new WireError('parameter_not_allowed', 'options may hold -c name=value and --name=value only');
  }
  return settings;
}

/** PostgreSQL's ParseLongOption turns every dash of a name into an underscore, for -c as for --. */
function setting(text: string | undefined): [string, string] {
  const equals = text?.indexOf('=') ?? -1;
  if (text === undefined || equals <= 0) throw new WireError('bad_value', 'options has a switch without name=value');
  return [text.slice(0, equals).replaceAll('-', '_'), text.slice(equals + 1)];
}

/** The white space is C's isspace in the C locale, nothing of Unicode's. */
function splitWords(options: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (let i = 0; i < options.length; i++) {
    const character = options[i] as string;
    if (' \t\n\v\f\r'.includes(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (character === '\\') {
      i++;
      word = (word ?? '') + (options[i] ?? '');
    } else {
      word = (word ?? '') + character;
    }
  }
  if (word !== null) words.push(word);
  return words;
}
