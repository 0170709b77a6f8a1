/* What edgekit's projects use of STM32Cube's HAL, with its types; CubeMX's own main.h includes the HAL. For tests. */
#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct {
    int32_t Instance;
} UART_HandleTypeDef;
typedef enum { HAL_OK = 0x00U, HAL_ERROR = 0x01U } HAL_StatusTypeDef;
HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *huart, const uint8_t *pData, uint16_t Size, uint32_t Timeout);
uint32_t HAL_GetTick(void);
#ifdef __cplusplus
}
#endif
