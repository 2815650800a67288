/*
 * routes.h - the tables of routes, one of each route_*.c; api_routes.c lists them.
 */
#ifndef HONE_SERVER_ROUTES_H
#define HONE_SERVER_ROUTES_H

#include "server/api.h"

extern const struct api_table files_routes, uploads_routes, models_routes, fine_tuning_routes,
    graders_routes, webhooks_routes;
#endif
