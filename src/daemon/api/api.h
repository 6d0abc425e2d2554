/* SPDX-License-Identifier: Apache-2.0
 *
 * api: the handlers, one resource per file; docs/api.md describes them. Each answers its request exactly once, now or
 * later (request.h). The request's name and body are there; a handler checks the body itself.
 */
#ifndef SBX_DAEMON_API_API_H
#define SBX_DAEMON_API_API_H

#include "daemon/request.h"

void api_version(struct request *r);
void api_shutdown(struct request *r);

void api_list(struct request *r);
void api_create(struct request *r);
void api_show(struct request *r);
void api_delete(struct request *r);

void api_start(struct request *r);
void api_stop(struct request *r);
void api_keep(struct request *r);
void api_status(struct request *r);

void api_pause(struct request *r);
void api_resume(struct request *r);
void api_checkpoint(struct request *r);
void api_checkpoints(struct request *r);
void api_checkpoint_remove(struct request *r);
void api_restore(struct request *r);
void api_fork(struct request *r);

void api_ports(struct request *r);
void api_ports_change(struct request *r);

void api_template_ensure(struct request *r);
void api_template_list(struct request *r);

void api_agents(struct request *r);
void api_agent(struct request *r);
void api_agent_layer(struct request *r);

void api_settings(struct request *r);
void api_diagnose(struct request *r);

void api_policy(struct request *r);
void api_policy_init(struct request *r);
void api_policy_reset(struct request *r);
void api_policy_check(struct request *r);
void api_policy_explain(struct request *r);
void api_policy_log(struct request *r);
void api_policy_pending(struct request *r);
void api_policy_answer(struct request *r);
void api_rules(struct request *r);
void api_rules_add(struct request *r);
void api_rules_remove(struct request *r);
void api_rule_delete(struct request *r);

/* Answers with status and body (its reference is taken; NULL with 204) when the sandboxes that run have taken the policy. */
void api_policy_settled(struct request *r, int status, json_t *body);

/* Fails the request and returns false where its body holds any key. */
bool api_no_body(struct request *r);

#endif
