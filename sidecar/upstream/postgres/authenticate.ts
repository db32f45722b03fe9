import { randomBytes, type X509Certificate } from 'node:crypto';
import type { Frame } from '../../wire/postgres/frame.ts';
import { type Authentication, decodeAuthentication } from '../../wire/postgres/messages/authentication.ts';
import { decodeNegotiateProtocolVersion } from '../../wire/postgres/messages/negotiate_protocol_version.ts';
import { encodePassword, encodeSaslInitialResponse, encodeSaslResponse } from '../../wire/postgres/messages/password.ts';
import { PROTOCOL_3_0, PROTOCOL_3_2 } from '../../wire/postgres/messages/startup.ts';
import { BACKEND } from '../../wire/postgres/types.ts';
import { UpstreamError } from '../errors.ts';
import type { Conversation } from './conversation.ts';
import { refusalOf } from './refusal.ts';
import { chooseMechanism, scramProve, scramStart, scramVerify } from './scram.ts';

export interface Secret {
  readonly password: Buffer;
  readonly protocol: '3.0' | '3.2';
}

export interface Authenticated {
  readonly version: '3.0' | '3.2';
  readonly channelBound: boolean;
}

/** From the startup message to AuthenticationOk. `certificate` is the server's, verified; null without TLS. */
export async function authenticate(talk: Conversation, secret: Secret, certificate: X509Certificate | null): Promise<Authenticated> {
  let version = secret.protocol;
  let frame = await nextOfLogin(talk);
  if (frame.type === BACKEND.NegotiateProtocolVersion) {
    version = negotiated(frame, secret.protocol);
    frame = await nextOfLogin(talk);
  }
  const request = authentication(frame);
  switch (request.type) {
    case 'AuthenticationOk':
      return { version, channelBound: false };
    case 'AuthenticationCleartextPassword':
      if (!certificate) throw new UpstreamError('method_refused', 'the target asks for the password in clear text without TLS');
      sendPassword(talk, secret.password);
      await expectOk(talk);
      return { version, channelBound: false };
    case 'AuthenticationSASL':
      return { version, channelBound: await scram(talk, secret, request.mechanisms, certificate) };
    case 'AuthenticationMD5Password':
      throw new UpstreamError('method_refused', 'the target asks for an md5 password; give the role a scram-sha-256 one');
    case 'AuthenticationUnsupported':
      throw new UpstreamError('method_refused', `the target asks for a login of kind ${request.code}, which is not spoken`);
    case 'AuthenticationSASLContinue':
    case 'AuthenticationSASLFinal':
      throw new UpstreamError('protocol', 'the target goes on with a SASL exchange that was not begun');
    default:
      return request satisfies never;
  }
}

async function scram(
  talk: Conversation,
  secret: Secret,
  offered: readonly string[],
  certificate: X509Certificate | null,
): Promise<boolean> {
  const chosen = chooseMechanism(offered, certificate);
  if (!chosen) throw new UpstreamError('method_refused', 'the target offers no SASL mechanism that is spoken');
  const start = scramStart(randomBytes(24).toString('base64'), chosen.binding);
  talk.write(encodeSaslInitialResponse(chosen.mechanism, Buffer.from(start.message)));
  const first = authentication(await nextOfLogin(talk));
  if (first.type !== 'AuthenticationSASLContinue') throw outOfOrder();
  const proof = await scramProve(start, first.data, secret.password);
  talk.write(encodeSaslResponse(Buffer.from(proof.message)));
  const final = authentication(await nextOfLogin(talk));
  if (final.type === 'AuthenticationOk') {
    throw new UpstreamError('server_not_proven', 'the target let us in without a proof that it knows the password');
  }
  if (final.type !== 'AuthenticationSASLFinal') throw outOfOrder();
  scramVerify(proof, final.data);
  await expectOk(talk);
  return chosen.binding.type === 'bound';
}

function sendPassword(talk: Conversation, password: Buffer): void {
  // Not cleared after: TLS may still have to read it.
  talk.write(encodePassword(password));
}

async function expectOk(talk: Conversation): Promise<void> {
  if (authentication(await nextOfLogin(talk)).type !== 'AuthenticationOk') throw outOfOrder();
}

/** The next message that is not a notice. */
async function nextOfLogin(talk: Conversation): Promise<Frame> {
  for (;;) {
    const frame = await talk.next();
    if (frame.type === BACKEND.ErrorResponse) throw refusalOf(frame.buffer, frame.start, frame.end);
    if (frame.type !== BACKEND.NoticeResponse) return frame;
  }
}

function authentication(frame: Frame): Authentication {
  if (frame.type !== BACKEND.Authentication) throw outOfOrder();
  return decodeAuthentication(frame.buffer, frame.start, frame.end);
}

function negotiated(frame: Frame, asked: '3.0' | '3.2'): '3.0' | '3.2' {
  const { version, unknownOptions } = decodeNegotiateProtocolVersion(frame.buffer, frame.start, frame.end);
  if (unknownOptions.length > 0) throw new UpstreamError('protocol', 'the target answered options that were not sent');
  if (version === PROTOCOL_3_0) return '3.0';
  if (version === PROTOCOL_3_2 && asked === '3.2') return '3.2';
  throw new UpstreamError('protocol', 'the target chose a protocol version that was not offered');
}

function outOfOrder(): UpstreamError {
  return new UpstreamError('protocol', 'the target sent a message that has no place in a login');
}
