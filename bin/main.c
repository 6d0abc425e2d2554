/* SPDX-License-Identifier: Apache-2.0
 *
 * main: hands over to MAIN (cli_main, daemon_main, ...), which the build names for each program.
 */
int MAIN(int argc, char **argv);

int main(int argc, char **argv)
{
	return MAIN(argc, argv);
}
