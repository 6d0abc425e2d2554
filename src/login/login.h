/* SPDX-License-Identifier: Apache-2.0
 *
 * login: the program sbx-login: signs in to an issuer or a registry for sbx, and ends. It is the only program besides sbx-proxy that
 * talks to other hosts, and hands what it gets to sbx-keeper.
 */
#ifndef SBX_LOGIN_LOGIN_H
#define SBX_LOGIN_LOGIN_H

int login_main(int argc, char **argv);

#endif
